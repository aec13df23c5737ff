"""
Events as rows of `eventbus_events`, the statements that read them, and what they are in the outbox.

A row has its columns in one order everywhere: what is read comes first, so that an event that is about to be written
can be looked at as one that was stored. The statements are the drivers' own text, so that a stream is read the same way
through a transaction's connection and directly. SQLite gives times as text.

    new row   READ_COLUMNS, category, topic   14 values; one that belongs to no stream is for the outbox alone
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Final, TypeAlias, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database import OutboxRow, PostgresqlDriver
from eventbus.database.batches import BatchInsert, Value, sqlite_values
from eventbus.database.driver_statement import DriverStatement
from eventbus.database.tables import events
from eventbus.database.times import time_to_text
from eventbus.messages.envelope import JSON_CONTENT_TYPE
from eventbus.store.streams import Append, Row, StoredEvent
from eventbus.transport.partitioning import slot_of

_READ: Final = (
    "id",
    "type",
    "type_version",
    "source",
    "time",
    "subject",
    "stream",
    "version",
    "correlation_id",
    "causation_id",
    "traceparent",
    "data",
)
READ_COLUMNS: Final = ", ".join(_READ)
HISTORY_COLUMNS: Final = "type, type_version, data"
COLUMNS: Final = (*_READ, "category", "topic")
INSERT_EVENTS: Final = BatchInsert(events, *COLUMNS)
VERSION: Final = COLUMNS.index("version")
SUBJECT: Final = COLUMNS.index("subject")

NewRow: TypeAlias = tuple[
    str,
    str,
    int,
    str,
    datetime,
    str | None,
    str | None,
    int | None,
    str | None,
    str | None,
    str | None,
    bytes,
    str,
    str | None,
]
"""The values of COLUMNS. The version is None where any will do, and is found out when the row is written."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A statement that reads events, in each dialect's text, with its arguments in the same order for both."""

    sqlite: str
    postgresql: str
    arguments: tuple[Value, ...]

    @classmethod
    def of(cls, conditions: str, *arguments: Value, columns: str = READ_COLUMNS) -> "Reading":
        """*conditions*: what follows FROM, with a `?` for each argument, in order."""
        text = f"SELECT {columns} FROM eventbus_events {conditions}"  # noqa: S608 (our own words)
        return cls(text, _numbered(text), arguments)

    async def on(self, connection: AsyncConnection) -> list[StoredEvent]:
        """The events, read in the connection's transaction."""
        found = await DriverStatement(self.sqlite, self.postgresql).execute(connection, *self.arguments)
        return stored_events(cast("Sequence[Row]", found.all()))

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


def reading_of_history(stream: str, after_version: int) -> Reading:
    """The stream's History behind *after_version*."""
    return Reading(_HISTORY.sqlite, _HISTORY.postgresql, (stream, after_version))


def stored_events(rows: Iterable[Row]) -> list[StoredEvent]:
    """The events that a Reading has found."""
    return list(map(StoredEvent.of_row, rows))


def event_rows(append: Append, base: int) -> list[NewRow]:
    """The rows of an append whose stream is at version *base*."""
    stream, category, topic = append.stream, append.category, append.topic
    return [
        cast("NewRow", (*event.row[:6], stream, version, *event.row[8:12], category, topic))
        for version, event in enumerate(append.events, start=base + 1)
    ]


def placed(row: NewRow, version: int) -> NewRow:
    """*row* at its version, now that this is known."""
    return cast("NewRow", (*row[:VERSION], version, *row[VERSION + 1 :]))


def outbox_row(row: NewRow) -> OutboxRow:
    """What is published of *row*, which has a topic; keyed by its subject."""
    event = StoredEvent.of_row(row)
    subject = row[5]
    return OutboxRow(
        id=row[0],
        aggregatetype=row[12],
        aggregateid=subject or row[0],
        type=row[1],
        payload=row[11],
        topic=row[13] or "",
        key=subject,
        headers=event.envelope.header_texts(),
        slot=slot_of(None if subject is None else subject.encode()),
        stream_version=row[7],
        created_at=row[4],
    )


def outbox_values(row: NewRow) -> tuple[str, int]:
    """The two columns of the outbox that no event's row has: the headers as JSON text, and the slot."""
    subject = row[5]
    return headers_text(row), slot_of(None if subject is None else subject.encode())


def headers_text(row: NewRow) -> str:
    """`Envelope.header_texts` of the row's envelope as JSON, put together from what does not change between events."""
    id, kind, type_version, source, time, subject, stream, version, correlation_id, causation_id, trace = row[:11]
    before, middle, after = _constant_headers(kind, type_version, source)
    text = f"{before}{encode_basestring(id)}{middle}{time_to_text(time)}{after}"
    if subject is not None:
        text += f',["ce_subject",{encode_basestring(subject)}]'
    if stream is not None:
        text += f',["ce_stream",{encode_basestring(stream)}]'
    if version is not None:
        text += f',["ce_streamversion","{version}"]'
    if correlation_id is not None:
        text += f',["ce_correlationid",{encode_basestring(correlation_id)}]'
    if causation_id is not None:
        text += f',["ce_causationid",{encode_basestring(causation_id)}]'
    if trace is not None:
        text += f',["traceparent",{encode_basestring(trace)}]'
    return f"{text}]"


@lru_cache(maxsize=1024)
def _constant_headers(kind: str, type_version: int, source: str) -> tuple[str, str, str]:
    """What is before the id, between it and the time, and behind that."""
    return (
        f'[["content-type","{JSON_CONTENT_TYPE}"],["ce_specversion","1.0"],["ce_id",',
        f'],["ce_type",{encode_basestring(kind)}],["ce_source",{encode_basestring(source)}],["ce_time","',
        f'"],["ce_eventversion","{type_version}"]',
    )


def _numbered(text: str) -> str:
    """PostgreSQL numbers its parameters."""
    first, *others = text.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(others, start=1))


_OF_STREAM: Final = Reading.of("WHERE stream = ? AND version > ? ORDER BY version")
_HISTORY: Final = Reading.of("WHERE stream = ? AND version > ? ORDER BY version", columns=HISTORY_COLUMNS)
