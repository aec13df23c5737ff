"""
Values of the event store: what is stored, what is to be appended, and at which version.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TypeAlias, cast

from eventbus.messages import Envelope


class Expect(Enum):
    """What may be expected of a stream instead of a version. The value is how a ConcurrencyConflict words it."""

    NONE = "0"
    """The stream has no events: the same as version 0."""
    EXISTS = "1 or more"
    ANY = "any"


ExpectedVersion: TypeAlias = int | Expect
"""The version that an append was decided on; 0 is that of a stream without events."""


Row: TypeAlias = Sequence[object]
"""
An event as a driver gives it. A stored event: id, type, type_version, source, time, subject, stream, version,
correlation_id, causation_id, traceparent, data. Whatever follows is of no concern to who reads it.
"""
_Columns: TypeAlias = tuple[
    str, str, int, str, datetime | str, str | None, str | None, int | None, str | None, str | None, str | None, bytes
]


History: TypeAlias = Sequence[Row]
"""
What a state is made of again: of each event of a stream, in order, its type, type_version and data. Three columns of
twelve, as the others would be most of what loading a stream costs.
"""


class StoredEvent:
    """
    An event of a stream as it is stored: its envelope, which has stream and version, and its bytes.

    Loading a stream makes one for each of its rows, and hardly anybody looks at their envelopes: so it keeps the row,
    and the envelope is made when it is asked for.
    """

    __slots__ = ("_envelope", "row")

    def __init__(self, envelope: Envelope, data: bytes) -> None:
        self._envelope: Envelope | None = envelope
        self.row: Row = (
            envelope.id,
            envelope.type,
            envelope.version,
            envelope.source,
            envelope.time,
            envelope.subject,
            envelope.stream,
            envelope.stream_version,
            envelope.correlation_id,
            envelope.causation_id,
            envelope.traceparent,
            data,
        )
        """What it was read from, or will be written as."""

    @classmethod
    def of_row(cls, row: Row) -> "StoredEvent":
        """The event of a row that was read, or is about to be written."""
        event = cls.__new__(cls)
        event._envelope = None
        event.row = row
        return event

    @property
    def envelope(self) -> Envelope:
        """What is known about it."""
        if self._envelope is None:
            row = cast("_Columns", self.row)
            # SQLite gives times as text.
            time = datetime.fromisoformat(row[4]) if isinstance(row[4], str) else row[4]
            self._envelope = Envelope(
                row[0], row[1], row[2], row[3], time, row[5], row[6], row[7], row[8], row[9], row[10]
            )
        return self._envelope

    @property
    def type(self) -> str:
        """The event's name."""
        return cast("str", self.row[1])

    @property
    def type_version(self) -> int:
        """The version of its shape."""
        return cast("int", self.row[2])

    @property
    def data(self) -> bytes:
        """The event itself, as in the log."""
        return cast("bytes", self.row[11])

    @property
    def version(self) -> int:
        """Its place in the stream, counted from 1."""
        version = self.row[7]
        if version is None:
            raise ValueError(f"event {self.row[0]} of type {self.type} is of no stream")
        return cast("int", version)

    @property
    def history_row(self) -> Row:
        """What a History has of it."""
        return self.row[1], self.row[2], self.row[11]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StoredEvent):
            return NotImplemented
        return self.envelope == other.envelope and self.data == other.data

    def __hash__(self) -> int:
        return hash((self.row[0], self.row[7]))

    def __repr__(self) -> str:
        return f"StoredEvent({self.envelope!r}, {self.data!r})"


@dataclass(frozen=True, slots=True)
class Append:
    """
    Events for one stream, which follow its last one.

    expected_version   where the stream is to be: a version, or an `Expect`
    category           the aggregate's name
    topic              where they are published; None: nowhere
    """

    stream: str
    expected_version: ExpectedVersion
    events: Sequence[StoredEvent]
    category: str
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """
    What became of an append.

    version     of the last of its events
    is_repeat   the same events, by their ids, were there already: nothing was written
    """

    stream: str
    version: int
    is_repeat: bool = False


@dataclass(frozen=True, slots=True)
class CategoryCursor:
    """A place in a category: behind the event *id*, recorded at *time*."""

    time: datetime
    id: str

    @classmethod
    def behind(cls, event: StoredEvent) -> "CategoryCursor":
        """The place behind *event*, where the next page begins."""
        return cls(event.envelope.time, event.envelope.id)


def in_words(expected: ExpectedVersion) -> int | str:
    """The expectation as a ConcurrencyConflict tells it."""
    return expected if isinstance(expected, int) else expected.value
