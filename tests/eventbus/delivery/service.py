"""A small service for these tests: an event, a table of effects, and records made as the relay would make them."""

import json
import types
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text, insert, select

from eventbus.database import (
    Database,
    DeadLetter,
    DeadLetters,
    LetterFilter,
    LetterRetries,
    LogPartition,
    ParkedKey,
    Parking,
)
from eventbus.delivery.drain import Drain
from eventbus.delivery.event_delivery import EventDelivery
from eventbus.handlers.faults import Faults
from eventbus.handlers.invocation import Invocation
from eventbus.handlers.provision import Provision
from eventbus.handlers.registry import find_handlers
from eventbus.messages import Envelope, Event
from eventbus.observability import Counters
from eventbus.serialization import encode
from eventbus.serialization.types import MessageTypes
from eventbus.store import Transactions, UnitOfWork
from eventbus.transport.port import IncomingRecord

TOPIC = "payments"


class Paid(Event):
    number: int
    order: str = "o-1"


class Refunded(Event):
    number: int


effects = Table(
    "effects",
    MetaData(),
    Column("position", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("number", Integer, nullable=False),
    Column("handler", Text, nullable=False),
)


async def take_effect(work: UnitOfWork, number: int, handler: str = "only") -> None:
    """The effect of handling an event: one row."""
    await work.connection.execute(insert(effects).values(number=number, handler=handler))


async def effects_in(database: Database) -> list[int]:
    """The numbers that took effect, in order."""
    async with database.reading() as connection:
        return list((await connection.execute(select(effects.c.number).order_by(effects.c.position))).scalars())


async def letters_in(database: Database) -> list[DeadLetter]:
    async with database.reading() as connection:
        return list(reversed(await DeadLetters().list(connection)))


async def make_effects_table(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.run_sync(effects.metadata.create_all)


def module_of(*functions: Callable[..., object]) -> types.ModuleType:
    """A module as if these handlers were written in it."""
    module = types.ModuleType("payments")
    for function in functions:
        function.__module__ = "payments"
        function.__qualname__ = function.__name__
        setattr(module, function.__name__, function)
    return module


def delivery(
    database: Database,
    *handlers: Callable[..., object],
    service: str = "shop",
    topic: str = TOPIC,
    counters: Counters | None = None,
) -> EventDelivery:
    """The delivery of a service with these handlers."""
    found = invocations(handlers)
    transactions = Transactions(database, service)
    return EventDelivery(
        service, found, MessageTypes(found), [topic], database, transactions, counters=counters or Counters()
    )


def record(
    event: Event, offset: int, *, message_id: str | None = None, partition: int = 0, key: bytes | None = b"o-1"
) -> IncomingRecord:
    envelope = Envelope(
        id=message_id or f"e-{offset}",
        type=event.message_name,
        version=event.message_version,
        source="payment-service",
        time=datetime.now(UTC),
    )
    return IncomingRecord(TOPIC, partition, offset, key, encode(event), envelope.headers(), 0)


def records(numbers: Iterable[int], *, start: int = 0) -> Sequence[IncomingRecord]:
    return [record(Paid(number=number), offset) for offset, number in enumerate(numbers, start=start)]


def place(partition: int = 0) -> LogPartition:
    return LogPartition("cluster-1", TOPIC, "topic-id-1", partition)


def draining(database: Database, *handlers: Callable[..., object], service: str = "shop") -> Drain:
    """What handles dead letters and parked events again, in a service with these handlers."""
    found = invocations(handlers)
    return Drain(service, found, MessageTypes(found), database, Transactions(database, service))


async def retry(database: Database) -> None:
    """Somebody asks for every dead letter."""
    async with database.transaction() as connection:
        ids = await DeadLetters().ids(connection, LetterFilter())
        await LetterRetries().request(connection, ids, datetime.now(UTC))


async def parked_in(database: Database, key: bytes, *, handler: str = "payments.moody") -> list[int]:
    """The numbers of the events that wait there, in order."""
    async with database.reading() as connection:
        waiting = await Parking().waiting(connection, ParkedKey("shop", TOPIC, key, handler), 1000)
    return [json.loads(event.value or b"{}")["number"] for event in waiting]


def invocations(handlers: Sequence[Callable[..., object]]) -> dict[type[Event], list[Invocation]]:
    """The handlers by event, as an application has them."""
    found: dict[type[Event], list[Invocation]] = {}
    for definition in find_handlers([module_of(*handlers)], Faults()):
        assert issubclass(definition.message_type, Event)
        found.setdefault(definition.message_type, []).append(Invocation(definition, Provision([])))
    return found
