"""
What is written while relays are killed: entries of a ledger, by code that has transactions of its own.

An entry's number is one more than the last of its key. Its key's counter is locked until the transaction ends, so that
the numbers of a key are the order in which its entries were committed; between keys, transactions overlap. The row in
`entries` and the event in the outbox are in one transaction: the table says what was committed.
"""

import random
from collections.abc import Sequence
from typing import Final

import anyio
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text, insert, update

from eventbus import Event
from eventbus.database import Database
from eventbus.errors import DatabaseUnavailable
from eventbus.store import EventOutbox

KEYS: Final = [f"k-{number}" for number in range(12)]
_LONG_SHARE: Final = 0.2
# Processes that write to one SQLite file wait for each other in no order: with more load, relays would lose leases.
_PAUSE_SECONDS: Final = {"sqlite": 0.05, "postgresql": 0.01}
_LONG_SECONDS: Final = {"sqlite": 0.002, "postgresql": 0.1}

metadata: Final = MetaData()

counters: Final = Table(
    "counters",
    metadata,
    Column("key", Text, primary_key=True),
    Column("number", Integer, nullable=False),
)

entries: Final = Table(
    "entries",
    metadata,
    Column("position", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("number", Integer, nullable=False),
)


class Entered(Event):
    key: str
    number: int


async def make_tables(database: Database) -> None:
    """The tables, with a counter for each key."""
    async with database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.execute(insert(counters), [{"key": key, "number": 0} for key in KEYS])


async def enter(
    database: Database, outbox: EventOutbox, topic: str, chance: random.Random, keys: Sequence[str] = KEYS
) -> None:
    """One to three entries of one key in one transaction; some transactions take their time before they commit."""
    key = chance.choice(keys)
    async with database.transaction() as connection:
        for _ in range(chance.randint(1, 3)):
            moved = update(counters).where(counters.c.key == key).values(number=counters.c.number + 1)
            number = (await connection.execute(moved.returning(counters.c.number))).scalar_one()
            id = await outbox.add(connection, Entered(key=key, number=number), topic=topic, key=key)
            await connection.execute(insert(entries).values(event_id=id, key=key, number=number))
        if chance.random() < _LONG_SHARE:
            await anyio.sleep(chance.uniform(0, _LONG_SECONDS[database.dialect]))


async def keep_entering(database: Database, source: str, topic: str, seed: int) -> None:
    """Entries, one transaction after the other, until it is cancelled."""
    chance, outbox = random.Random(seed), EventOutbox(source)
    while True:
        try:
            await enter(database, outbox, topic, chance)
        except DatabaseUnavailable:
            # Another process writes to the file at the moment.
            continue
        await anyio.sleep(chance.uniform(0, 2 * _PAUSE_SECONDS[database.dialect]))
