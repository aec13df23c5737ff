"""
The work of these cases: events without end, known by their number alone, and a handler that fails with some of them.

A key's events take effect in order, or wait: so what has taken effect of a key is always its first events, whatever
died. `faults` says where that is not so.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass

import anyio
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, insert, select

from eventbus.database import Checkpoints, Database, DeadLetters, LogPartition
from eventbus.database.tables import parked_events
from eventbus.handlers import handles
from eventbus.messages import Event, Metadata
from eventbus.store import UnitOfWork
from eventbus.transport import IncomingRecord
from tests.eventbus.delivery.service import record

KEYS = 7
PLACE = LogPartition("cluster-1", "payments", "topic-id-1", 0)

effects = Table(
    "effects",
    MetaData(),
    Column("position", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("number", Integer, nullable=False),
)


class Counted(Event):
    number: int


def failures(number: int) -> int:
    """How often the handler fails with that number before it takes it."""
    if number % 29 == 3:
        return 2
    return 4 if number % 53 == 11 else 0


@handles(Counted, attempts=2, backoff_seconds=0.0)
async def count(event: Counted, metadata: Metadata, work: UnitOfWork) -> None:
    await _count(event, metadata, work)


@handles(Counted, attempts=2, backoff_seconds=0.0, concurrency=4)
async def count_in_lanes(event: Counted, metadata: Metadata, work: UnitOfWork) -> None:
    # Some take longer, so that the lanes are at different places.
    await anyio.sleep(0.001 * (event.number % 3))
    await _count(event, metadata, work)


async def _count(event: Counted, metadata: Metadata, work: UnitOfWork) -> None:
    await work.connection.execute(insert(effects).values(number=event.number))
    if metadata.attempt <= failures(event.number):
        raise ArithmeticError(f"number {event.number}, attempt {metadata.attempt}")


def records(first: int, end: int) -> list[IncomingRecord]:
    """The log from *first* up to *end*: an event's number is its offset."""
    return [record(Counted(number=number), number, key=b"k-%d" % (number % KEYS)) for number in range(first, end)]


@dataclass(frozen=True)
class World:
    """What is in the database: numbers that took effect, in order; those of dead letters; those that wait."""

    next_offset: int
    effects: list[int]
    dead: list[int]
    waiting: list[int]


async def read_world(database: Database) -> World:
    async with database.reading() as connection:
        checkpoints = await Checkpoints().read(connection, "shop", 0)
        return World(
            next(((one.next_offset or 0) for one in checkpoints), 0),
            list((await connection.execute(select(effects.c.number).order_by(effects.c.position))).scalars()),
            [letter.offset for letter in await DeadLetters().list(connection, limit=100_000)],
            list((await connection.execute(select(parked_events.c.offset))).scalars()),
        )


def faults(world: World) -> list[str]:
    """Sentences about what was lost, doubled, or has overtaken; none is what a test wants."""
    found = faults_of_lanes(world)
    if any(number >= world.next_offset for number in world.effects + world.dead + world.waiting):
        found.append(f"something is done behind the checkpoint, {world.next_offset}")
    return found


def faults_of_lanes(world: World) -> list[str]:
    """The same, where something may be done ahead of the checkpoint: but everything before it is."""
    found: list[str] = []
    by_key: dict[int, list[int]] = defaultdict(list)
    for number in world.effects:
        by_key[number % KEYS].append(number)
    for key, numbers in by_key.items():
        first = list(range(key, key + KEYS * len(numbers), KEYS))
        if numbers != first:
            found.append(f"key {key}: took effect {numbers}, its first events are {first}")
    kept = Counter(world.effects + world.dead + world.waiting)
    missing = sorted(set(range(world.next_offset)) - kept.keys())
    doubled = sorted(number for number, times in kept.items() if times > 1)
    if missing or doubled:
        found.append(f"up to {world.next_offset}: {missing} are nowhere, {doubled} are there twice")
    return found
