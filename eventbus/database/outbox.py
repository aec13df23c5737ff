"""
The outbox: what a transaction has committed for the log, until the relay has put it there.

Rows are added in the transaction of the effects that they announce, claimed in order by the relay that holds their
slot, and deleted in batches when the log has answered. A row is published at least once: a relay that dies between
the log's answer and the delete leaves it to the next, which publishes it again under the same id.

Source     decision 2; Debezium's outbox event router (id, aggregatetype, aggregateid, type, payload)
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

from pydantic_core import from_json, to_json
from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.batches import BatchInsert, Value, arrays, sqlite_values
from eventbus.database.dialects import Statement, as_list, is_sqlite
from eventbus.database.direct import Direct, PostgresqlDriver
from eventbus.database.engine import Database
from eventbus.database.sqlite_engine import run_on_sqlite
from eventbus.database.sqlite_rows import SqliteValue
from eventbus.database.tables import outbox, published, relay_slots
from eventbus.database.times import UtcTime
from eventbus.errors import LeaseLost
from eventbus.messages import Position


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One record for the log. *sequence* is the database's: 0 until the row has been added."""

    id: str
    aggregatetype: str
    aggregateid: str
    type: str
    payload: bytes
    topic: str
    key: str | None
    headers: tuple[tuple[str, str], ...]
    slot: int
    stream_version: int | None
    created_at: datetime
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """A row that is in the log, and where."""

    sequence: int
    id: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class SlotStatus:
    """A slot's backlog and who holds it; *holder* is None when no relay ever has."""

    slot: int
    rows: int
    holder: str | None
    lease_epoch: int | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class OutboxStatus:
    """What waits for the relay. The age is that of the oldest row, 0 with none."""

    rows: int
    oldest_age_seconds: float
    slots: tuple[SlotStatus, ...]


_COLUMNS: Final = (
    "id",
    "aggregatetype",
    "aggregateid",
    "type",
    "payload",
    "topic",
    "key",
    "headers",
    "slot",
    "stream_version",
    "created_at",
)
INSERT_ROWS: Final = BatchInsert(outbox, *_COLUMNS)
_NAMES: Final = ", ".join(f'"{name}"' for name in (*_COLUMNS, "sequence"))
_CLAIM: Final = f"SELECT {_NAMES} FROM eventbus_outbox WHERE slot = %s ORDER BY sequence LIMIT %s"  # noqa: S608 (our names)
_CLAIM_SQLITE: Final = _CLAIM % ("?", "?")
_CLAIM_POSTGRESQL: Final = _CLAIM % ("$1", "$2")
# A row that was published twice, by a relay that died and by the next, is where the first delete says.
_PUBLISHED: Final = BatchInsert(published, "event_id", "topic", "partition", "offset", "published_at", or_nothing=True)

_LEASE_SQLITE: Final = "SELECT lease_epoch FROM eventbus_relay_slots WHERE slot = ?"
_DELETE_SQLITE: Final = "DELETE FROM eventbus_outbox WHERE slot = ? AND sequence IN (SELECT value FROM json_each(?))"
# Who waits for the lease's row sees it as it is then, and that is before anything is deleted.
_DELETE_POSTGRESQL: Final = (
    "WITH lease AS (SELECT lease_epoch FROM eventbus_relay_slots WHERE slot = $1 FOR UPDATE), "  # noqa: S608 (our names)
    "gone AS (DELETE FROM eventbus_outbox WHERE slot = $1 AND sequence = ANY($3::bigint[]) "
    "AND (SELECT lease_epoch FROM lease) = $2), "
    f"kept AS ({_PUBLISHED.select_from_arrays(4)} WHERE (SELECT lease_epoch FROM lease) = $2{_PUBLISHED.ending}) "
    "SELECT lease_epoch FROM lease"
)

_POSITIONS: Final = Statement(
    sqlite=text(
        'SELECT event_id, topic, "partition", "offset" FROM eventbus_published '
        "WHERE event_id IN (SELECT value FROM json_each(:ids))"
    ),
    postgresql=text(
        'SELECT event_id, topic, "partition", "offset" FROM eventbus_published '
        "WHERE event_id = ANY(CAST(:ids AS text[]))"
    ),
)


class Outbox:
    """
    The outbox of a database. A method that is given a connection works in its transaction.
    """

    async def add(self, connection: AsyncConnection, rows: Sequence[OutboxRow]) -> None:
        """Add the rows, in their order, with one statement: there when the transaction commits, or not at all."""
        await INSERT_ROWS.execute(connection, [outbox_values(row) for row in rows])

    async def claim(self, database: Database, slot: int, limit: int) -> list[OutboxRow]:
        """
        The slot's first *limit* rows in the order in which they are to be published: a stream's by version, others as
        their commits became visible. Nothing is locked: who holds the slot's lease reads it alone.
        """
        reading: Direct[Sequence[Sequence[object]]] = Direct(
            lambda sqlite: sqlite.execute(_CLAIM_SQLITE, (slot, limit)).fetchall(),
            lambda driver: driver.fetch(_CLAIM_POSTGRESQL, slot, limit),
        )
        return [_claimed(row) for row in await database.read(reading)]

    async def waiting(self, database: Database, slots: Sequence[int]) -> list[int]:
        """Those of *slots* that have rows; one cheap statement, for a relay that looks often."""
        return await database.read(
            Direct(
                lambda sqlite: [slot for (slot,) in sqlite.execute(_WAITING_SQLITE, (json.dumps(list(slots)),))],
                lambda driver: _waiting_on_postgresql(driver, slots),
            )
        )

    async def stray_slots(self, connection: AsyncConnection, slots: int) -> list[int]:
        """Slots beyond the first *slots* that have rows: written when there were more of them."""
        found = await connection.execute(select(outbox.c.slot).where(outbox.c.slot >= slots).distinct())
        return sorted(found.scalars())

    async def delete(
        self, connection: AsyncConnection, slot: int, lease_epoch: int, rows: Sequence[PublishedRow]
    ) -> None:
        """
        Delete what is in the log and leave where it is there, for receipts; one round trip for any number of rows.

        Raises LeaseLost, and changes nothing, when the slot has been taken over since the lease of *lease_epoch*.
        """
        if not rows:
            return
        now = datetime.now(UTC)
        positions = [(row.id, row.topic, row.partition, row.offset, now) for row in rows]
        sequences = [row.sequence for row in rows]
        if is_sqlite(connection):
            listed, values = json.dumps(sequences), [sqlite_values(position) for position in positions]
            found = await run_on_sqlite(
                connection, lambda sqlite: _delete_on_sqlite(sqlite, slot, lease_epoch, listed, values)
            )
        else:
            arguments = (slot, lease_epoch, sequences, *arrays(positions))
            found = (await connection.exec_driver_sql(_DELETE_POSTGRESQL, arguments)).scalar_one_or_none()
        if found != lease_epoch:
            raise LeaseLost(f"slot {slot} of the outbox: held with lease epoch {lease_epoch}, is {found}: taken over")

    async def positions(self, connection: AsyncConnection, event_ids: Sequence[str]) -> dict[str, Position]:
        """Where events are in the log; those that are not there yet, or were pruned, are missing."""
        rows = await connection.execute(_POSITIONS.on(connection), {"ids": as_list(connection, event_ids)})
        return {event_id: Position(topic, partition, offset) for event_id, topic, partition, offset in rows}

    async def prune(self, connection: AsyncConnection, before: datetime) -> int:
        """Forget the positions of what was published before that time; how many were forgotten."""
        result = await connection.execute(delete(published).where(published.c.published_at < before))
        return result.rowcount

    async def status(self, connection: AsyncConnection) -> OutboxStatus:
        """The backlog, by slot, with the holders of the leases."""
        oldest: datetime | None = None
        backlog: dict[int, int] = {}
        counts = select(outbox.c.slot, func.count(), func.min(outbox.c.created_at, type_=UtcTime)).group_by(
            outbox.c.slot
        )
        for slot, rows, first in await connection.execute(counts):
            backlog[slot] = rows
            oldest = first if oldest is None else min(oldest, first)
        leases = {lease.slot: lease for lease in await connection.execute(select(relay_slots))}
        slots = [
            SlotStatus(slot, backlog.get(slot, 0), lease.holder, lease.lease_epoch, lease.expires_at)
            if (lease := leases.get(slot))
            else SlotStatus(slot, backlog[slot], None, None, None)
            for slot in sorted(backlog.keys() | leases.keys())
        ]
        age = 0.0 if oldest is None else max(0.0, (datetime.now(UTC) - oldest).total_seconds())
        return OutboxStatus(sum(backlog.values()), age, tuple(slots))


_WAITING_SQLITE: Final = (
    "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM eventbus_outbox WHERE slot = value)"
)
_WAITING_POSTGRESQL: Final = (
    "SELECT slot FROM unnest($1::integer[]) AS given(slot) "
    "WHERE EXISTS (SELECT FROM eventbus_outbox o WHERE o.slot = given.slot)"
)


_Claimed = tuple[str, str, str, str, bytes, str, str | None, str, int, int | None, datetime | str, int]
"""A row as the drivers give it, `_COLUMNS` and the sequence; SQLite's times are text."""


def _claimed(row: Sequence[object]) -> OutboxRow:
    event_id, kind, of, named, payload, topic, key, headers, slot, version, time, sequence = cast("_Claimed", row)
    created_at = datetime.fromisoformat(time) if isinstance(time, str) else time
    return OutboxRow(
        event_id, kind, of, named, payload, topic, key, _headers(headers), slot, version, created_at, sequence
    )


def _delete_on_sqlite(
    database: sqlite3.Connection,
    slot: int,
    lease_epoch: int,
    sequences: str,
    positions: Sequence[Sequence[SqliteValue]],
) -> int | None:
    """The epoch that the slot's lease has; nothing is deleted when it is another."""
    lease: tuple[int] | None = database.execute(_LEASE_SQLITE, (slot,)).fetchone()
    found = None if lease is None else lease[0]
    if found == lease_epoch:
        database.execute(_DELETE_SQLITE, (slot, sequences)).close()
        _PUBLISHED.insert_on_sqlite(database, positions)
    return found


async def _waiting_on_postgresql(driver: PostgresqlDriver, slots: Sequence[int]) -> list[int]:
    rows = cast("Sequence[tuple[int]]", await driver.fetch(_WAITING_POSTGRESQL, list(slots)))
    return [slot for (slot,) in rows]


def outbox_values(row: OutboxRow) -> tuple[Value, ...]:
    """The row as `INSERT_ROWS` takes it."""
    return (
        row.id,
        row.aggregatetype,
        row.aggregateid,
        row.type,
        row.payload,
        row.topic,
        row.key,
        to_json(row.headers).decode(),
        row.slot,
        row.stream_version,
        row.created_at,
    )


def outbox_mapping(row: OutboxRow) -> dict[str, Value]:
    """The row as SQLAlchemy's insert into the table takes it, on any connection."""
    return dict(zip(_COLUMNS, outbox_values(row), strict=True))


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    pairs: list[list[str]] = from_json(text)
    return tuple([(name, value) for name, value in pairs])
