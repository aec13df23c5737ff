"""
Values of the event store: what is stored, what is to be appended, and at which version.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import TypeAlias

from eventbus.messages import Envelope


class Expect(Enum):
    """What may be expected of a stream instead of a version. The value is how a ConcurrencyConflict words it."""

    NONE = "0"
    """The stream has no events: the same as version 0."""
    EXISTS = "1 or more"
    ANY = "any"


ExpectedVersion: TypeAlias = int | Expect
"""The version that an append was decided on; 0 is that of a stream without events."""


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
