"""
How fast events reach handlers, beside a raw loop over the same records in the same run.

    python -m benchmarks.delivery [--events 100000] [--rounds 3] [sqlite] [postgresql]

Raw        confluent-kafka's consume(1000) in a worker thread, headers to a dict, pydantic's validate_json, an awaited
           handler, one after the other: no group, no checkpoint, no inbox
Trivial    the same handler under the framework: consumer, decoding, checkpoint, an inbox row for each event
Insert     a handler that inserts one row of its own with each event, in the same transaction
Once more  every handler's events were counted, and every inserted row is there once, or the figure is not shown

The log is the embedded broker with twelve partitions; PostgreSQL is a server of its own (the wheel's) with fsync on;
SQLite has synchronous=FULL. Figures are medians of the rounds.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast

import anyio
from confluent_kafka import Consumer as RawConsumer
from confluent_kafka import KafkaError, Message, TopicPartition
from confluent_kafka import Producer as RawProducer
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text, func, insert, select

from benchmarks.databases import bench_database
from benchmarks.rate import Rate, median
from eventbus.database import Database, Migrations
from eventbus.delivery import Consumer
from eventbus.delivery.event_delivery import EVENTS_AHEAD_RECORDS, EventDelivery
from eventbus.embedded import joined
from eventbus.handlers import Invocation, handles
from eventbus.handlers.faults import Faults
from eventbus.handlers.provision import Provision
from eventbus.handlers.registry import find_handlers
from eventbus.messages import Envelope, Event
from eventbus.serialization import encode
from eventbus.serialization.types import MessageTypes
from eventbus.store import Transactions, UnitOfWork, new_event_id
from eventbus.transport import KafkaTransport

PARTITIONS: Final = 12
_KEYS: Final = 1000
TOPIC: Final = "payments"


class Paid(Event):
    order_id: str
    amount: int
    reference: str


class Counted:
    """How many events a trivial handler has seen."""

    def __init__(self) -> None:
        self.events = 0


_counted = Counted()

_rows = Table(
    "payments_seen",
    MetaData(),
    Column("position", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("order_id", Text, nullable=False),
    Column("amount", Integer, nullable=False),
)


@handles(Paid)
async def count(event: Paid) -> None:
    """The handler that costs nothing."""
    _counted.events += 1


@handles(Paid)
async def record(event: Paid, work: UnitOfWork) -> None:
    """The handler that leaves a row."""
    await work.connection.execute(insert(_rows).values(order_id=event.order_id, amount=event.amount))


def fill(address: str, events: int, topic: str = TOPIC) -> None:
    """Payments of a thousand orders, as a service of ours publishes them."""
    producer = RawProducer({"bootstrap.servers": address, "linger.ms": 5, "partitioner": "murmur2_random"})
    for number in range(events):
        key = f"order-{number % _KEYS}"
        event = Paid(order_id=key, amount=number, reference="a reference of some length")
        id, now = new_event_id(), datetime.now(UTC)
        envelope = Envelope(id, "Paid", 1, "payment-service", now, key, f"Payment-{number}", 1, id, id, None)
        producer.produce(topic, encode(event), key, headers=list(envelope.headers()))
        if number % 1000 == 0:
            producer.poll(0)
    assert producer.flush(60) == 0


async def raw_loop(address: str, events: int) -> Rate:
    """The raw loop from the first offsets."""
    options: dict[str, str | int | float | bool] = {
        "bootstrap.servers": address,
        "group.id": "raw",
        "enable.auto.commit": False,
        "fetch.queue.backoff.ms": 2,
        "isolation.level": "read_committed",
    }
    consumer = RawConsumer(options)
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(PARTITIONS)])
    handler = cast("Callable[[Paid], Awaitable[None]]", count)
    seen = 0
    begun, cpu = 0.0, 0.0
    while seen < events:
        messages: list[Message] = await asyncio.to_thread(consumer.consume, 1000, 1.0)
        if not begun:
            begun, cpu = time.perf_counter(), time.process_time()
        for message in messages:
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                continue
            headers = dict(cast("Sequence[tuple[str, bytes]]", message.headers() or ()))
            assert headers["ce_type"] == b"Paid"
            await handler(Paid.model_validate_json(message.value() or b""))
            seen += 1
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
    consumer.close()
    return Rate(events / seconds, cpu_seconds / events * 1e6)


def _delivery(database: Database, service: str, handler: Callable[..., object]) -> EventDelivery:
    module = type(sys)("benchmarks.delivery")
    setattr(module, handler.__name__, handler)
    handler.__module__ = module.__name__
    definitions = find_handlers([module], Faults())
    found: dict[type[Event], list[Invocation]] = {Paid: [Invocation(one, Provision([])) for one in definitions]}
    transactions = Transactions(database, service)
    return EventDelivery(service, found, MessageTypes([Paid]), [TOPIC], database, transactions)


async def _consume(
    transport: KafkaTransport, delivery: EventDelivery, seen: Callable[[], Awaitable[int]], events: int
) -> Rate:
    # As an application makes it.
    consumer = Consumer(transport, delivery, batch_size=delivery.batch_size, waiting_max=EVENTS_AHEAD_RECORDS)
    async with anyio.create_task_group() as tasks:
        await tasks.start(consumer.run)
        while not (first := await seen()):  # noqa: ASYNC110 (the consumer has no event for what is measured here)
            await asyncio.sleep(0.005)
        begun, cpu = time.perf_counter(), time.process_time()
        while await seen() < events:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
        await consumer.stop()
    assert await seen() == events, "an event was lost or handled twice"
    return Rate((events - first) / seconds, cpu_seconds / (events - first) * 1e6)


async def _measure(name: str, url: str, directory: Path, events: int, rounds: int) -> None:
    database = Database.from_url(url)
    async with joined(directory / f"log-{name}", "bench") as member:
        transport = KafkaTransport(member.address)
        await transport.start()
        try:
            await Migrations(database).upgrade()
            await make_rows(database)
            await transport.ensure_topics({TOPIC: PARTITIONS})
            fill(member.address, events)
            print(f"\n{name}: load average {os.getloadavg()[0]:.1f}, {events} events, {rounds} rounds")
            raw: list[Rate] = []
            trivial: list[Rate] = []
            inserting: list[Rate] = []
            for number in range(rounds):
                raw.append(await raw_loop(member.address, events))
                trivial.append(await handle_each(transport, database, f"trivial-{number}", events))
                inserting.append(await insert_each(transport, database, f"insert-{number}", events))
            _say("raw loop", median(raw))
            _say("trivial handler", median(trivial), median(raw))
            _say("handler that inserts a row", median(inserting), median(raw))
        finally:
            await transport.aclose()
            await database.aclose()


async def _seen_in_memory() -> int:
    return _counted.events


async def make_rows(database: Database) -> None:
    """The table that the inserting handler writes."""
    async with database.transaction() as connection:
        await connection.run_sync(_rows.metadata.create_all)


def trivial_delivery(database: Database, service: str) -> EventDelivery:
    """What brings the events to the handler that costs nothing."""
    return _delivery(database, service, count)


async def handle_each(transport: KafkaTransport, database: Database, service: str, events: int) -> Rate:
    """The trivial handler, under the name of a service that has read nothing yet."""
    _counted.events = 0
    return await _consume(transport, trivial_delivery(database, service), _seen_in_memory, events)


async def insert_each(transport: KafkaTransport, database: Database, service: str, events: int) -> Rate:
    """The handler that leaves a row."""
    async with database.transaction() as connection:
        await connection.execute(_rows.delete())

    async def seen() -> int:
        async with database.reading() as connection:
            return int((await connection.execute(select(func.count()).select_from(_rows))).scalar_one())

    return await _consume(transport, _delivery(database, service, record), seen, events)


def _say(what: str, rate: Rate, raw: Rate | None = None) -> None:
    ratio = f"  {rate.a_second / raw.a_second:.2f} x raw" if raw else ""
    print(f"  {what:30} {rate.a_second:11,.0f} events/s {rate.cpu_us:8.1f} us of CPU each{ratio}")


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delivery")
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgresql"])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for name in cast("list[str]", given.databases):
        with bench_database(name) as (url, directory):
            asyncio.run(_measure(name, url, directory, given.events, given.rounds))


if __name__ == "__main__":
    main()
