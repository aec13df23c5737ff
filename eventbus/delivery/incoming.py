"""From a record of the log to the handlers that it is for, or to the dead letter that it becomes."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from eventbus.database import DeadLetter
from eventbus.errors import UndecodableMessage
from eventbus.handlers.invocation import Invocation
from eventbus.messages import Envelope, Event, Metadata
from eventbus.messages.metadata import Position
from eventbus.serialization.types import MessageTypes
from eventbus.transport.port import IncomingRecord


@dataclass(frozen=True, slots=True)
class Call:
    """One handler that a record is for, and the inbox's name for the two together."""

    invocation: Invocation
    inbox_id: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """A record of an event that some handler takes."""

    record: IncomingRecord
    envelope: Envelope
    event: Event
    calls: Sequence[Call]

    def metadata(self, attempt: int) -> Metadata:
        """What its handlers may ask for."""
        record = self.record
        return Metadata.of(self.envelope, Position(record.topic, record.partition, record.offset), attempt)


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A record that is not what its headers say."""

    record: IncomingRecord
    error: UndecodableMessage


@dataclass(frozen=True, slots=True)
class Unhandled:
    """A record that no handler takes. `type` is None when the application knows the type all the same."""

    record: IncomingRecord
    type: str | None


Work = Incoming | Undecodable
"""What a record is to the handlers that read it."""


class Sorting:
    """The handlers of one application by event, and how records find them."""

    def __init__(self, handlers: Mapping[type[Event], Sequence[Invocation]], types: MessageTypes) -> None:
        self._types = types
        self._handlers = {
            name.encode(): tuple(calls) for event, calls in handlers.items() if calls for name in event.event_names()
        }

    def sort(self, record: IncomingRecord, first_offsets: Mapping[str, int]) -> "Incoming | Undecodable | Unhandled":
        """*first_offsets*: where the parts of those handlers begin that do not begin at the log's start."""
        kind = dict(record.headers).get("ce_type")
        invocations = self._handlers.get(kind) if kind else ()
        if invocations is None:
            name = (kind or b"").decode(errors="replace")
            return Unhandled(record, None if name in self._types else name)
        try:
            sent_at = datetime.fromtimestamp(max(0, record.timestamp_ms) / 1000, UTC)
            envelope = Envelope.from_headers(record.headers, time=sent_at)
            if "\x00" in envelope.id or "\x00" in envelope.source:
                raise UndecodableMessage("the header ce_id or ce_source has a NUL in it, which no database can keep")
            event = self._types.decode(envelope, record.value)
        except UndecodableMessage as error:
            return Undecodable(record, error)
        if event is None:
            return Unhandled(record, envelope.type)
        calls = [
            Call(invocation, f"{envelope.source}/{envelope.id}#{invocation.definition.name}")
            for invocation in invocations
            if first_offsets.get(invocation.definition.name, 0) <= record.offset
        ]
        return Incoming(record, envelope, event, calls)


def dead_letter(
    consumer: str, record: IncomingRecord, error: BaseException, *, handler: str | None, attempts: int
) -> DeadLetter:
    """The record as it came, with what went wrong."""
    headers = dict(record.headers)
    return DeadLetter(
        consumer=consumer,
        handler=handler,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        message_id=_text(headers.get("ce_id")),
        type=_text(headers.get("ce_type")),
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        error_class=f"{type(error).__module__}.{type(error).__qualname__}",
        error_message=_keepable(str(error)),
        error_stack=_keepable("".join(traceback.format_exception(error))),
        attempts=attempts,
        failed_at=datetime.now(UTC),
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else _keepable(value.decode(errors="replace"))


def _keepable(text: str) -> str:
    # PostgreSQL's text has no NUL.
    return text.replace("\x00", "\\0")
