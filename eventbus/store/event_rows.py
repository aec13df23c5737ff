"""
Events as rows of `eventbus_events`, and the statements that read them.

The statements are the drivers' own text, so that a stream is read the same way through a transaction's connection and
directly. SQLite gives times as text.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database import PostgresqlDriver
from eventbus.database.batches import BatchInsert, Value, sqlite_values
from eventbus.database.dialects import is_sqlite
from eventbus.database.tables import events
from eventbus.messages import Envelope
from eventbus.store.streams import Append, StoredEvent

COLUMNS: Final = (
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
INSERT_EVENTS: Final = BatchInsert(events, *COLUMNS)
READ_COLUMNS: Final = (
    "id, type, type_version, source, time, subject, stream, version, correlation_id, causation_id, traceparent, data"
)

Row = Sequence[object]
_Columns = tuple[str, str, int, str, datetime | str, str | None, str, int, str | None, str | None, str | None, bytes]


@dataclass(frozen=True, slots=True)
class Reading:
    """A statement that reads events, in each dialect's text, with its arguments in the same order for both."""

    sqlite: str
    postgresql: str
    arguments: tuple[Value, ...]

    @classmethod
    def of(cls, conditions: str, *arguments: Value) -> "Reading":
        """*conditions*: what follows FROM, with a `?` for each argument, in order."""
        text = f"SELECT {READ_COLUMNS} FROM eventbus_events {conditions}"  # noqa: S608 (our own words)
        return cls(text, _numbered(text), arguments)

    async def on(self, connection: AsyncConnection) -> list[StoredEvent]:
        """The events, read in the connection's transaction."""
        if is_sqlite(connection):
            found = await connection.exec_driver_sql(self.sqlite, sqlite_values(self.arguments))
        else:
            found = await connection.exec_driver_sql(self.postgresql, self.arguments)
        return stored_events(found)

    def on_sqlite(self, database: sqlite3.Connection) -> Sequence[Row]:
        """The rows, on the driver's thread, which is to be left soon: `stored_events` is the caller's."""
        rows: list[Row] = database.execute(self.sqlite, sqlite_values(self.arguments)).fetchall()
        return rows

    async def on_postgresql(self, driver: PostgresqlDriver) -> Sequence[Row]:
        """The rows, by one round trip."""
        return await driver.fetch(self.postgresql, *self.arguments)


def reading_of_stream(stream: str, after_version: int) -> Reading:
    """A stream's events behind *after_version*, in order."""
    return Reading(_OF_STREAM.sqlite, _OF_STREAM.postgresql, (stream, after_version))


def stored_events(rows: Iterable[Row]) -> list[StoredEvent]:
    """The events that a Reading has found."""
    return [_stored(cast("_Columns", row)) for row in rows]


def _stored(row: _Columns) -> StoredEvent:
    id, kind, type_version, source, time, subject, stream, version, correlation_id, causation_id, trace, data = row[:12]
    when = datetime.fromisoformat(time) if isinstance(time, str) else time
    envelope = Envelope(
        id, kind, type_version, source, when, subject, stream, version, correlation_id, causation_id, trace
    )
    return StoredEvent(envelope, data)


def event_rows(append: Append, base: int) -> list[tuple[Value, ...]]:
    """The rows of an append whose stream is at version *base*."""
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
        for version, event in enumerate(append.events, start=base + 1)
    ]


def _numbered(text: str) -> str:
    """PostgreSQL numbers its parameters."""
    first, *others = text.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(others, start=1))


_OF_STREAM: Final = Reading.of("WHERE stream = ? AND version > ? ORDER BY version")
