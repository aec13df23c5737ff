"""
Keys that are parked: what one handler could not handle is a dead letter, and the key's later events wait behind it.

A row of `eventbus_parked_keys` is the key's lock, and its being there decides: the transaction that is given an event
looks for it and either handles the event or adds it to those that wait. The row is made by the transaction that gives
the event up, and goes in the one that takes the last waiting event away.

Locks (PostgreSQL; SQLite has one writer)
    waiting     FOR KEY SHARE         a key to which an event is added cannot be freed under it
    draining    FOR NO KEY UPDATE     one process at a time handles a key's waiting events; others may add more
    freeing     FOR UPDATE            waits for those that add, then looks again whether anything waits
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import ColumnElement, LargeBinary, and_, any_, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.batches import BatchInsert
from eventbus.database.dialects import is_sqlite
from eventbus.database.record_headers import Headers, headers_from_json, headers_to_json
from eventbus.database.sqlite_engine import run_on_sqlite
from eventbus.database.tables import parked_events, parked_keys
from eventbus.database.times import UtcTime


@dataclass(frozen=True, slots=True)
class ParkedKey:
    """A key of one topic, parked for one handler of a consumer."""

    consumer: str
    topic: str
    key: bytes
    handler: str


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that waits, as it came. *sequence* is the database's: 0 until the row has been added."""

    parked_key: ParkedKey
    partition: int
    offset: int
    message_id: str | None
    type: str | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
    parked_at: datetime
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class ParkingStatus:
    """A consumer's parked keys, the events that wait there, and the age of the oldest of the keys, 0 with none."""

    keys: int
    events: int
    oldest_age_seconds: float


_ADD: Final = BatchInsert(
    parked_events,
    "consumer",
    "topic",
    "key",
    "handler",
    "partition",
    "offset",
    "message_id",
    "type",
    "value",
    "headers",
    "timestamp_ms",
    "parked_at",
)
_SQLITE_KEYS_MAX: Final = 500
# In one order, so that two transactions that look for the same keys wait for each other and never deadlock.
_PARKED: Final = (
    select(parked_keys.c.handler, parked_keys.c.key)
    .where(
        parked_keys.c.consumer == bindparam("consumer"),
        parked_keys.c.topic == bindparam("topic"),
        parked_keys.c.key == any_(bindparam("keys", type_=ARRAY(LargeBinary))),
    )
    .order_by(parked_keys.c.key, parked_keys.c.handler)
    .with_for_update(read=True, key_share=True)
)


class Parking:
    """The parked keys of a database. Every method works in the transaction of the connection that it is given."""

    async def is_any(self, connection: AsyncConnection, consumer: str, topic: str) -> bool:
        """Whether any key of the topic is parked."""
        found = select(exists().where(parked_keys.c.consumer == consumer, parked_keys.c.topic == topic))
        return bool(await connection.scalar(found))

    async def among(
        self, connection: AsyncConnection, consumer: str, topic: str, keys: Sequence[bytes]
    ) -> set[tuple[str, bytes]]:
        """Those of *keys* that are parked, each with the handler; they stay so until this transaction ends."""
        if not keys:
            return set()
        if is_sqlite(connection):
            return await run_on_sqlite(connection, lambda database: _among(database, consumer, topic, keys))
        rows = await connection.execute(_PARKED, {"consumer": consumer, "topic": topic, "keys": list(keys)})
        return {(handler, key) for handler, key in rows}

    async def park(self, connection: AsyncConnection, key: ParkedKey, letter_id: str, now: datetime) -> None:
        """The key's later events wait behind this dead letter; a key that is parked already now waits behind it."""
        behind = update(parked_keys).where(_is(key)).values(dead_letter_id=letter_id)
        if (await connection.execute(behind)).rowcount == 0:
            await connection.execute(
                insert(parked_keys).values(
                    consumer=key.consumer,
                    topic=key.topic,
                    key=key.key,
                    handler=key.handler,
                    dead_letter_id=letter_id,
                    parked_at=now,
                )
            )

    async def add(self, connection: AsyncConnection, events: Sequence[ParkedEvent]) -> None:
        """The events wait behind those of their keys that do already, with one statement."""
        await _ADD.execute(
            connection,
            [
                (
                    event.parked_key.consumer,
                    event.parked_key.topic,
                    event.parked_key.key,
                    event.parked_key.handler,
                    event.partition,
                    event.offset,
                    event.message_id,
                    event.type,
                    event.value,
                    headers_to_json(event.headers),
                    event.timestamp_ms,
                    event.parked_at,
                )
                for event in events
            ],
        )

    async def draining(
        self, connection: AsyncConnection, consumer: str, handlers: Sequence[str], limit: int
    ) -> list[ParkedKey]:
        """Keys of these handlers whose waiting events can be handled, the longest parked first."""
        statement = (
            select(parked_keys)
            .where(
                parked_keys.c.consumer == consumer,
                parked_keys.c.dead_letter_id.is_(None),
                parked_keys.c.handler.in_(handlers),
            )
            .order_by(parked_keys.c.parked_at)
            .limit(limit)
        )
        rows = await connection.execute(statement)
        return [ParkedKey(row.consumer, row.topic, row.key, row.handler) for row in rows]

    async def hold(self, connection: AsyncConnection, key: ParkedKey) -> bool:
        """
        Whether the key's waiting events can be handled by this transaction, and by no other until it ends. False when
        another does, when the key waits behind a dead letter, or is not parked any more.
        """
        statement = (
            select(parked_keys.c.handler)
            .where(_is(key), parked_keys.c.dead_letter_id.is_(None))
            .with_for_update(key_share=True, skip_locked=True)
        )
        return (await connection.execute(statement)).first() is not None

    async def waiting(self, connection: AsyncConnection, key: ParkedKey, limit: int) -> list[ParkedEvent]:
        """The first *limit* events that wait there, in order."""
        events = parked_events.c
        statement = (
            select(parked_events)
            .where(
                events.consumer == key.consumer,
                events.topic == key.topic,
                events.key == key.key,
                events.handler == key.handler,
            )
            .order_by(events.sequence)
            .limit(limit)
        )
        return [
            ParkedEvent(
                key,
                row.partition,
                row.offset,
                row.message_id,
                row.type,
                row.value,
                headers_from_json(row.headers),
                row.timestamp_ms,
                row.parked_at,
                row.sequence,
            )
            for row in await connection.execute(statement)
        ]

    async def remove(self, connection: AsyncConnection, sequences: Sequence[int]) -> None:
        """These events wait no more."""
        await connection.execute(delete(parked_events).where(parked_events.c.sequence.in_(sequences)))

    async def release(self, connection: AsyncConnection, letter_ids: Sequence[str]) -> None:
        """These dead letters are no more: the keys behind them drain, and are free where nothing waits."""
        statement = (
            select(parked_keys)
            .where(parked_keys.c.dead_letter_id.in_(letter_ids))
            .order_by(parked_keys.c.key, parked_keys.c.handler)
            .with_for_update()
        )
        for row in (await connection.execute(statement)).all():
            key = ParkedKey(row.consumer, row.topic, row.key, row.handler)
            await connection.execute(update(parked_keys).where(_is(key)).values(dead_letter_id=None))
            await self.free(connection, key)

    async def free(self, connection: AsyncConnection, key: ParkedKey) -> bool:
        """The key is parked no more, unless something waits there; whether it is free."""
        await connection.execute(select(parked_keys.c.handler).where(_is(key)).with_for_update())
        # A statement of its own: it sees what the last one may have waited for.
        if await self.waiting(connection, key, 1):
            return False
        await connection.execute(delete(parked_keys).where(_is(key)))
        return True

    async def status(self, connection: AsyncConnection, consumer: str) -> ParkingStatus:
        """What the consumer has parked."""
        keys, oldest = (
            await connection.execute(
                select(func.count(), func.min(parked_keys.c.parked_at, type_=UtcTime)).where(
                    parked_keys.c.consumer == consumer
                )
            )
        ).one()
        counted = select(func.count()).select_from(parked_events).where(parked_events.c.consumer == consumer)
        events = await connection.scalar(counted) if keys else 0
        age = 0.0 if oldest is None else max(0.0, (datetime.now(UTC) - oldest).total_seconds())
        return ParkingStatus(keys, events or 0, age)


def _is(key: ParkedKey) -> ColumnElement[bool]:
    return and_(
        parked_keys.c.consumer == key.consumer,
        parked_keys.c.topic == key.topic,
        parked_keys.c.key == key.key,
        parked_keys.c.handler == key.handler,
    )


def _among(database: sqlite3.Connection, consumer: str, topic: str, keys: Sequence[bytes]) -> set[tuple[str, bytes]]:
    found: set[tuple[str, bytes]] = set()
    for first in range(0, len(keys), _SQLITE_KEYS_MAX):
        some = keys[first : first + _SQLITE_KEYS_MAX]
        marks = ", ".join("?" for _ in some)
        found.update(
            database.execute(
                f"SELECT handler, key FROM eventbus_parked_keys "  # noqa: S608 (question marks)
                f"WHERE consumer = ? AND topic = ? AND key IN ({marks})",
                (consumer, topic, *some),
            )
        )
    return found
