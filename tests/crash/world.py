"""
What is there after a crash: the log and the tables, read without the framework.

The log is read with confluent-kafka's consumer from its first offset to its end, the tables with plain SQL in one
snapshot (sqlite3, asyncpg), by the names that the reference gives them.
"""

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import asyncpg
from confluent_kafka import Producer

from tests.crash.log_reader import LOG_SECONDS_MAX, headers_of, place_of, read_messages

TOPICS: Final = ("accounts", "audits")

Row = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class LogRecord:
    topic: str
    partition: int
    offset: int
    key: str
    id: str
    type: str
    stream: str
    version: int
    data: str


@dataclass(frozen=True, slots=True)
class StoredRow:
    """A row of the event store."""

    stream: str
    version: int
    id: str
    type: str
    topic: str
    data: str


@dataclass(frozen=True, slots=True)
class Effect:
    """A row that the handler `take_effect` has written, in the order of writing."""

    event_id: str
    account: str
    number: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    consumer: str
    topic: str
    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    consumer: str
    handler: str | None
    event_id: str | None


@dataclass(frozen=True, slots=True)
class World:
    """
    checkpoints   of the handlers and of the live generation of each projection
    summaries     account → (deposits, digest), of the live generation
    journal       (deposit's event id, number), of the live generation
    ends          (topic, partition) → the offset behind its last record
    """

    log: Sequence[LogRecord]
    ends: Mapping[tuple[str, int], int]
    stored: Sequence[StoredRow]
    effects: Sequence[Effect]
    outbox: frozenset[str]
    checkpoints: Sequence[Checkpoint]
    summaries: Mapping[str, tuple[int, int]]
    journal: Sequence[tuple[str, int]]
    dead_letters: Sequence[DeadLetter]


def number_of(data: str) -> int:
    number = json.loads(data)["number"]
    assert isinstance(number, int)
    return number


def end_transactions(bootstrap: str, transactional_ids: Sequence[str]) -> None:
    """Aborts what dead processes have left open, as their successor will: until then readers wait behind it."""

    def end(transactional_id: str) -> None:
        Producer({"bootstrap.servers": bootstrap, "transactional.id": transactional_id}).init_transactions(
            LOG_SECONDS_MAX
        )

    with ThreadPoolExecutor() as threads:
        for _ in threads.map(end, transactional_ids):
            pass


def read_log(bootstrap: str) -> tuple[list[LogRecord], dict[tuple[str, int], int]]:
    """Every record of the topics, by partition and offset, and where the partitions end."""
    messages, ends = read_messages(bootstrap, TOPICS)
    found: list[LogRecord] = []
    for message in messages:
        headers = headers_of(message)
        found.append(
            LogRecord(
                *place_of(message),
                (message.key() or b"").decode(),
                headers["ce_id"],
                headers["ce_type"],
                headers["ce_stream"],
                int(headers["ce_streamversion"]),
                (message.value() or b"").decode(),
            )
        )
    return found, ends


_QUERIES: Final = {
    "stored": "SELECT stream, version, id, type, topic, data FROM eventbus_events ORDER BY stream, version",
    "effects": "SELECT event_id, account, number FROM effects ORDER BY position",
    "outbox": "SELECT id FROM eventbus_outbox",
    "checkpoints": """
        SELECT c.consumer, c.topic, c."partition", c.next_offset FROM eventbus_checkpoints c
        LEFT JOIN eventbus_generations g ON g.projection = c.consumer AND g.generation = c.generation
        WHERE (g.state = 'live' OR g.state IS NULL) AND c.next_offset IS NOT NULL""",
    "dead_letters": "SELECT consumer, handler, message_id FROM eventbus_dead_letters",
    "generations": "SELECT projection, generation FROM eventbus_generations WHERE state = 'live'",
}
_VIEWS: Final = {
    "account_summaries": "SELECT account, deposits, digest FROM view_account_summaries_{}",
    "journal": "SELECT deposit_id, number FROM view_journal_{}_journal ORDER BY deposit_id",
}


def _from_sqlite(path: str, queries: Mapping[str, str]) -> dict[str, list[Row]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as connection:
        connection.execute("BEGIN")
        found: dict[str, list[Row]] = {name: connection.execute(query).fetchall() for name, query in queries.items()}
        for projection, generation in found.get("generations", []):
            view = str(projection)
            found[view] = connection.execute(_VIEWS[view].format(generation)).fetchall()
    return found


async def _from_postgresql(url: str, queries: Mapping[str, str]) -> dict[str, list[Row]]:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            found = {name: [tuple(row) for row in await connection.fetch(query)] for name, query in queries.items()}
            for projection, generation in found.get("generations", []):
                query = _VIEWS[projection].format(generation)
                found[projection] = [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()
    return found


def read_tables(database_url: str, queries: Mapping[str, str] = _QUERIES) -> dict[str, list[Row]]:
    """The rows of one snapshot, by query; with the generations also those of the views."""
    if database_url.startswith("sqlite:///"):
        return _from_sqlite(database_url.removeprefix("sqlite:///"), queries)
    return asyncio.run(_from_postgresql(database_url, queries))


def outbox(database_url: str) -> frozenset[str]:
    """The ids of the events that wait for the relay."""
    return frozenset(str(row[0]) for row in read_tables(database_url, {"outbox": _QUERIES["outbox"]})["outbox"])


def read_world(bootstrap: str, database_url: str) -> World:
    """Everything. To be called when nothing is being published."""
    tables = read_tables(database_url)
    log, ends = read_log(bootstrap)
    return World(
        log=log,
        ends=ends,
        stored=[
            StoredRow(str(stream), _int(version), str(id), str(type_), str(topic), _text(data))
            for stream, version, id, type_, topic, data in tables["stored"]
        ],
        effects=[Effect(str(id), str(account), _int(number)) for id, account, number in tables["effects"]],
        outbox=frozenset(str(row[0]) for row in tables["outbox"]),
        checkpoints=[
            Checkpoint(str(consumer), str(topic), _int(partition), _int(next_offset))
            for consumer, topic, partition, next_offset in tables["checkpoints"]
        ],
        summaries={
            str(account): (_int(deposits), _int(digest))
            for account, deposits, digest in tables.get("account_summaries", [])
        },
        journal=[(str(id), _int(number)) for id, number in tables.get("journal", [])],
        dead_letters=[
            DeadLetter(str(consumer), _name(handler), _name(event_id))
            for consumer, handler, event_id in tables["dead_letters"]
        ],
    )


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _name(value: object) -> str | None:
    return None if value is None else str(value)


def _text(value: object) -> str:
    assert isinstance(value, bytes)
    return value.decode()
