"""
Streams of events with optimistic concurrency: an append names the version that it was decided on.

Versions of a stream are 1, 2, 3 …; 0 is the version of a stream without events. There is no order between streams:
the log's offset is the global position (decision 1).

PostgreSQL   one statement compares and inserts. A conflict is its answer, not an error, so the transaction goes on.
             Rows of a concurrent transaction, which it cannot see, are met at the primary key: it waits, and inserts
             around them.
SQLite       the writer is alone: it compares and inserts in one hop to its thread.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.batches import BatchInsert, Value, arrays, sqlite_values
from eventbus.database.dialects import is_sqlite
from eventbus.database.sqlite_engine import run_on_sqlite
from eventbus.database.tables import events
from eventbus.errors import ConcurrencyConflict
from eventbus.messages import Envelope


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of a stream as it is stored: its envelope, which has stream and version, and its bytes."""

    envelope: Envelope
    data: bytes

    @property
    def version(self) -> int:
        """Its place in the stream, counted from 1."""
        if self.envelope.stream_version is None:
            raise ValueError(f"event {self.envelope.id} of type {self.envelope.type} is of no stream")
        return self.envelope.stream_version


@dataclass(frozen=True, slots=True)
class Append:
    """
    Events for one stream, with versions from *expected_version* + 1 on.

    category   the aggregate's name
    topic      where they are published; None: nowhere
    """

    stream: str
    expected_version: int
    events: Sequence[StoredEvent]
    category: str
    topic: str | None = None


_COLUMNS: Final = (
    "stream",
    "version",
    "id",
    "category",
    "type",
    "type_version",
    "source",
    "time",
    "subject",
    "correlation_id",
    "causation_id",
    "traceparent",
    "topic",
    "data",
)
_LOAD: Final = (
    select(*(events.c[name] for name in _COLUMNS))
    .where(events.c.stream == bindparam("stream"), events.c.version > bindparam("after_version"))
    .order_by(events.c.version)
)
_INSERT: Final = BatchInsert(events, *_COLUMNS)
_VERSIONS: Final = (
    "SELECT stream, max(version) FROM eventbus_events WHERE stream IN (SELECT value FROM json_each(?)) GROUP BY stream"
)
_APPEND: Final = f"""
    WITH expected AS (
        SELECT given.stream, given.version AS expected,
               coalesce((SELECT max(e.version) FROM eventbus_events e WHERE e.stream = given.stream), 0) AS actual
        FROM unnest($1::text[], $2::bigint[]) AS given(stream, version)
    ), inserted AS (
        {_INSERT.select_from_arrays(first_parameter=3)}
        WHERE NOT EXISTS (SELECT FROM expected WHERE expected <> actual)
        ON CONFLICT (stream, version) DO NOTHING
        RETURNING 1
    )
    SELECT stream, expected, actual, (SELECT count(*) FROM inserted) AS inserted FROM expected
"""  # noqa: S608 (names of our own columns)


class EventStore:
    """The streams of a database. Every method works in the transaction of the connection that it is given."""

    async def load(self, connection: AsyncConnection, stream: str, *, after_version: int = 0) -> list[StoredEvent]:
        """The stream's events behind *after_version*, in order; none when there is no such stream."""
        rows = await connection.execute(_LOAD, {"stream": stream, "after_version": after_version})
        return [
            StoredEvent(
                Envelope(
                    id=row.id,
                    type=row.type,
                    version=row.type_version,
                    source=row.source,
                    time=row.time,
                    subject=row.subject,
                    stream=stream,
                    stream_version=row.version,
                    correlation_id=row.correlation_id,
                    causation_id=row.causation_id,
                    traceparent=row.traceparent,
                ),
                row.data,
            )
            for row in rows
        ]

    async def append(self, connection: AsyncConnection, appends: Sequence[Append]) -> None:
        """
        Append all events of all streams, or none. A stream may be named once.

        Raises ConcurrencyConflict, naming the first stream whose version is not the expected one, whether it is ahead
        or behind; nothing has been appended then, and the transaction can go on. ValueError for a stream that is
        named twice.
        """
        if not appends:
            return
        counts = Counter(append.stream for append in appends)
        if len(counts) != len(appends):
            stream, times = counts.most_common(1)[0]
            raise ValueError(f"stream {stream!r} is named {times} times in one append: join its events")
        # In one order, so that two transactions that append to the same streams wait for each other and never deadlock.
        ordered = sorted(appends, key=lambda append: append.stream)
        if is_sqlite(connection):
            actual = await run_on_sqlite(connection, lambda database: _append_on_sqlite(database, ordered))
        else:
            actual = await _append_on_postgresql(connection, ordered)
        for append in appends:
            found = actual.get(append.stream, 0)
            if found != append.expected_version:
                raise ConcurrencyConflict(append.stream, append.expected_version, found)


def _append_on_sqlite(database: sqlite3.Connection, appends: Sequence[Append]) -> dict[str, int]:
    """The versions that the streams had; nothing was appended if one of them is not as expected."""
    actual: dict[str, int] = dict(database.execute(_VERSIONS, (json.dumps([append.stream for append in appends]),)))
    if all(actual.get(append.stream, 0) == append.expected_version for append in appends):
        database.executemany(_INSERT.sqlite, map(sqlite_values, _rows(appends)))
    return actual


async def _append_on_postgresql(connection: AsyncConnection, appends: Sequence[Append]) -> dict[str, int]:
    """The same. A concurrent append that this one's snapshot did not show is found by counting what was inserted."""
    rows = _rows(appends)
    streams = [append.stream for append in appends]
    found = (
        await connection.exec_driver_sql(
            _APPEND, (streams, [append.expected_version for append in appends], *arrays(rows))
        )
    ).all()
    actual: dict[str, int] = {row.stream: row.actual for row in found}
    inserted: int = found[0].inserted
    if inserted == len(rows) or any(row.expected != row.actual for row in found):
        return actual
    # Some versions were taken meanwhile, and this statement has inserted around them: take its rows out again.
    ids = [event.envelope.id for append in appends for event in append.events]
    await connection.execute(delete(events).where(events.c.id.in_(ids)))
    versions = select(events.c.stream, func.max(events.c.version)).where(events.c.stream.in_(streams))
    return dict((await connection.execute(versions.group_by(events.c.stream))).all())


def _rows(appends: Sequence[Append]) -> list[tuple[Value, ...]]:
    return [
        (
            append.stream,
            version,
            event.envelope.id,
            append.category,
            event.envelope.type,
            event.envelope.version,
            event.envelope.source,
            event.envelope.time,
            event.envelope.subject,
            event.envelope.correlation_id,
            event.envelope.causation_id,
            event.envelope.traceparent,
            append.topic,
            event.data,
        )
        for append in appends
        for version, event in enumerate(append.events, start=append.expected_version + 1)
    ]
