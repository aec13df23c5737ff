"""From a record of the log to the handlers that it is for, or to the dead letter that it becomes."""

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from eventbus.database import DeadLetter, Failure, ParkedEvent, ParkedKey
from eventbus.errors import UndecodableMessage
from eventbus.handlers.invocation import Invocation
from eventbus.handlers.registry import HandlerDefinition
from eventbus.messages import Envelope, Event, Metadata
from eventbus.messages.envelope import is_readable
from eventbus.messages.metadata import Position
from eventbus.serialization.json import decode
from eventbus.serialization.types import MessageTypes
from eventbus.transport.port import IncomingRecord


class Call(NamedTuple):
    """
    One handler that records of a type are for.

    name     the handler's
    suffix   what it adds to a message's name in the inbox
    """

    invocation: Invocation
    name: str
    suffix: str

    @property
    def handler(self) -> HandlerDefinition:
        return self.invocation.definition


@dataclass(slots=True)
class Incoming:
    """
    A record of an event that some handler takes, and its message's name in the inbox. Not frozen, as each record has
    one and a frozen one costs four times as much; nobody changes it.

    type       the event's name, as it was sent
    envelope   read when it is asked for, as few handlers do; that it can be read is known
    """

    record: IncomingRecord
    type: str
    event: Event
    calls: Sequence[Call]
    message: str
    _envelope: Envelope | None = None

    @property
    def envelope(self) -> Envelope:
        if self._envelope is None:
            self._envelope = Envelope.from_header_map(self.record.header_map)
        return self._envelope

    def inbox_id(self, call: Call) -> str:
        """What the inbox knows the message by, once the handler has had it."""
        return self.message + call.suffix

    def metadata(self, attempt: int) -> Metadata:
        """What its handlers may ask for."""
        record = self.record
        return Metadata.of(self.envelope, Position(record.topic, record.partition, record.offset), attempt)


@dataclass(frozen=True, slots=True)
class Undecodable:
    """
    A record that is not what its headers say.

    calls     the handlers of the type that it says to be, if it does
    message   its name in the inbox; None when its id cannot be read
    """

    record: IncomingRecord
    error: UndecodableMessage
    calls: Sequence[Call] = ()
    message: str | None = None

    def inbox_id(self, call: Call) -> str | None:
        """As an Incoming has it; None: the inbox cannot remember it."""
        return None if self.message is None else self.message + call.suffix


@dataclass(frozen=True, slots=True)
class Unhandled:
    """A record that no handler takes. `type` is None when the application knows the type all the same."""

    record: IncomingRecord
    type: str | None


Work = Incoming | Undecodable
"""What a record is to the handlers that read it."""


class _Known(NamedTuple):
    """
    A type of event that some handler takes.

    name      as it is sent
    event     its class; None: the application does not know it after all
    version   of the class, as a header
    """

    name: str
    event: type[Event] | None
    version: bytes
    calls: Sequence[Call]


class Sorting:
    """The handlers of one application by event, and how records find them."""

    def __init__(self, handlers: Mapping[type[Event], Sequence[Invocation]], types: MessageTypes) -> None:
        self._types = types
        self._known = {
            name.encode(): _Known(
                name,
                types.get(name),
                str(event.message_version).encode(),
                tuple(Call(one, one.definition.name, f"#{one.definition.name}") for one in calls),
            )
            for event, calls in handlers.items()
            if calls
            for name in event.event_names()
        }

    def sort(self, record: IncomingRecord, first_offsets: Mapping[str, int]) -> "Incoming | Undecodable | Unhandled":
        """*first_offsets*: where the parts of those handlers begin that do not begin at the log's start."""
        headers = record.header_map
        kind = headers.get("ce_type")
        known = self._known.get(kind) if kind else None
        if known is not None:
            found = _quickly(record, headers, known, first_offsets)
            if found is not None:
                return found
        elif kind:
            name = kind.decode(errors="replace")
            return Unhandled(record, None if name in self._types else name)
        calls = () if known is None else known.calls
        try:
            sent_at = None
            if headers.get("ce_time") is None:
                sent_at = record.written_at
            envelope = Envelope.from_header_map(headers, time=sent_at)
            message = f"{envelope.source}/{envelope.id}"
            if "\x00" in message:
                raise UndecodableMessage("the header ce_id or ce_source has a NUL in it, which no database can keep")
            event = self._types.decode_as(envelope.type, envelope.version, record.value)
        except UndecodableMessage as error:
            wanted = _wanted(calls, record, first_offsets)
            if calls and not wanted:
                return Unhandled(record, None)
            return Undecodable(record, error, wanted, _message(headers))
        if event is None:
            return Unhandled(record, envelope.type)
        return Incoming(record, envelope.type, event, _wanted(calls, record, first_offsets), message, envelope)

    def for_handler(self, record: IncomingRecord, handler: str) -> "tuple[Incoming, Call] | Undecodable | Unhandled":
        """The record as that one handler reads it, wherever its part of the log begins."""
        found = self.sort(record, {})
        if not isinstance(found, Incoming):
            return found
        call = next((call for call in found.calls if call.name == handler), None)
        return Unhandled(record, found.type) if call is None else (found, call)


def _quickly(
    record: IncomingRecord, headers: Mapping[str, bytes | None], known: _Known, first_offsets: Mapping[str, int]
) -> Incoming | None:
    """The event of today's version as nearly every record has one; None: to be looked at with care."""
    cls, value, message = known.event, record.value, _message(headers)
    if cls is None or value is None or message is None:
        return None
    if headers.get("ce_eventversion") != known.version or not is_readable(headers):
        return None
    try:
        event = decode(cls, value)
    except UndecodableMessage:
        return None
    return Incoming(record, known.name, event, _wanted(known.calls, record, first_offsets), message)


def _wanted(calls: Sequence[Call], record: IncomingRecord, first_offsets: Mapping[str, int]) -> Sequence[Call]:
    """Those whose part of the log the record is in: all of them as a rule, which needs no list of its own."""
    offset = record.offset
    for call in calls:
        if first_offsets.get(call.name, 0) > offset:
            return [one for one in calls if first_offsets.get(one.name, 0) <= offset]
    return calls


def _message(headers: Mapping[str, bytes | None]) -> str | None:
    """What a record is in the inbox, if its source and id can be read."""
    source, id = headers.get("ce_source"), headers.get("ce_id")
    if not source or not id or b"\x00" in source + id:
        return None
    try:
        return f"{source.decode()}/{id.decode()}"
    except UnicodeDecodeError:
        return None


def dead_letter(
    consumer: str,
    record: IncomingRecord,
    error: BaseException,
    failed_at: datetime,
    *,
    handler: str | None,
    attempts: int,
    tries: int = 0,
    retry_at: datetime | None = None,
) -> DeadLetter:
    """The record as it came, with what went wrong."""
    headers = record.header_map
    failure = failure_of(error, failed_at, retry_at)
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
        error_class=failure.error_class,
        error_message=failure.error_message,
        error_stack=failure.error_stack,
        attempts=attempts,
        failed_at=failure.failed_at,
        timestamp_ms=record.timestamp_ms,
        tries=tries,
        retry_at=retry_at,
    )


def failure_of(error: BaseException, failed_at: datetime, retry_at: datetime | None) -> Failure:
    """What went wrong, in words that a database can keep."""
    return Failure(
        f"{type(error).__module__}.{type(error).__qualname__}",
        _keepable(str(error)),
        _keepable("".join(traceback.format_exception(error))),
        failed_at,
        retry_at,
    )


def parked_event(consumer: str, record: IncomingRecord, key: bytes, handler: str, parked_at: datetime) -> ParkedEvent:
    """The record as it came, to wait behind its key's dead letter."""
    headers = record.header_map
    return ParkedEvent(
        ParkedKey(consumer, record.topic, key, handler),
        record.partition,
        record.offset,
        _text(headers.get("ce_id")),
        _text(headers.get("ce_type")),
        record.value,
        tuple(record.headers),
        record.timestamp_ms,
        parked_at,
    )


def record_of(kept: DeadLetter | ParkedEvent) -> IncomingRecord:
    """The record again, as it was read."""
    timestamp_ms = 0 if kept.timestamp_ms is None else kept.timestamp_ms
    topic, key = (
        (kept.topic, kept.key) if isinstance(kept, DeadLetter) else (kept.parked_key.topic, kept.parked_key.key)
    )
    return IncomingRecord(topic, kept.partition, kept.offset, key, kept.value, kept.headers, timestamp_ms)


def _text(value: bytes | None) -> str | None:
    return None if value is None else _keepable(value.decode(errors="replace"))


def _keepable(text: str) -> str:
    # PostgreSQL's text has no NUL.
    return text.replace("\x00", "\\0")
