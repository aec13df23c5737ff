"""
What a handler may ask for beside its message.
"""

from dataclasses import dataclass
from datetime import datetime

from eventbus.messages.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record is in the log."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Metadata:
    """The message's envelope, where it was read, and for which time it is being handled."""

    id: str
    type: str
    version: int
    source: str
    time: datetime
    subject: str | None = None
    stream: str | None = None
    stream_version: int | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    position: Position | None = None
    """None for a command or query, which comes from no log."""
    attempt: int = 1
    """Counted from 1; more than that when the message is handled again after a failure."""

    @classmethod
    def of(cls, envelope: Envelope, position: Position | None = None, attempt: int = 1) -> "Metadata":
        return cls(
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
            position,
            attempt,
        )
