"""
What travels beside a message: CloudEvents 1.0, Kafka binding, binary mode.

Headers (UTF-8 text)
    content-type        application/json
    ce_specversion      1.0
    ce_id               unique per source; what the inbox drops repeats by
    ce_type             the message's name
    ce_source           the service that it comes from
    ce_time             RFC 3339, UTC
    ce_subject          the aggregate's id, when there is one
    ce_eventversion     the message's version
    ce_stream           the event's stream, `Order-o-1`; ce_streamversion its place there, counted from 1
    ce_correlationid    the same for everything that one request has led to
    ce_causationid      the id of what led to this one: the message that was handled, or a publish outside of any
    traceparent         W3C Trace Context; where it is missing, CloudEvents' ce_traceparent is read
Value                   the message alone; never null, which would be a tombstone
Source                  CloudEvents Kafka protocol binding 1.0.2, section 3.2; docs/reference/messages.md
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from eventbus.errors import UndecodableMessage

JSON_CONTENT_TYPE: Final = "application/json"
_STRUCTURED: Final = b"application/cloudevents"


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message's CloudEvents attributes and extensions."""

    id: str
    type: str
    version: int
    source: str
    time: datetime
    """Aware."""
    subject: str | None = None
    stream: str | None = None
    stream_version: int | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None

    def headers(self, content_type: str = JSON_CONTENT_TYPE) -> list[tuple[str, bytes]]:
        """The record's headers; what is None is left out."""
        return [(name, value.encode()) for name, value in self.header_texts(content_type)]

    def header_texts(self, content_type: str = JSON_CONTENT_TYPE) -> tuple[tuple[str, str], ...]:
        """The headers as the outbox keeps them, not yet encoded."""
        found = [
            ("content-type", content_type),
            ("ce_specversion", "1.0"),
            ("ce_id", self.id),
            ("ce_type", self.type),
            ("ce_source", self.source),
            ("ce_time", self.time.astimezone(UTC).isoformat().replace("+00:00", "Z")),
            ("ce_eventversion", str(self.version)),
        ]
        if self.subject is not None:
            found.append(("ce_subject", self.subject))
        if self.stream is not None:
            found.append(("ce_stream", self.stream))
        if self.stream_version is not None:
            found.append(("ce_streamversion", str(self.stream_version)))
        if self.correlation_id is not None:
            found.append(("ce_correlationid", self.correlation_id))
        if self.causation_id is not None:
            found.append(("ce_causationid", self.causation_id))
        if self.traceparent is not None:
            found.append(("traceparent", self.traceparent))
        return tuple(found)

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[str, bytes | None]], *, time: datetime | None = None) -> "Envelope":
        """
        Reads a record's headers; unknown ones are ignored, of one that is repeated the last counts.

        *time* is the record's own timestamp, for a sender that gives no ce_time; without ce_eventversion the version
        is 1. Raises UndecodableMessage, naming the header.
        """
        found = dict(headers)
        try:
            spec = found.get("ce_specversion")
            if spec is None or not spec.startswith(b"1."):
                raise UndecodableMessage(_not_binary_mode(found))
            stream_version = found.get("ce_streamversion")
            return cls(
                _required(found, "ce_id"),
                _required(found, "ce_type"),
                int(found.get("ce_eventversion") or b"1"),
                _required(found, "ce_source"),
                _time(found, time),
                _optional(found, "ce_subject"),
                _optional(found, "ce_stream"),
                None if stream_version is None else int(stream_version),
                _optional(found, "ce_correlationid"),
                _optional(found, "ce_causationid"),
                _optional(found, "traceparent") or _optional(found, "ce_traceparent"),
            )
        except (UnicodeDecodeError, ValueError) as error:
            raise UndecodableMessage(f"a header cannot be read: {error}") from error


def _required(headers: dict[str, bytes | None], name: str) -> str:
    value = headers.get(name)
    if not value:
        raise UndecodableMessage(f"the header {name} is missing or empty: CloudEvents 1.0 requires it")
    return value.decode()


def _optional(headers: dict[str, bytes | None], name: str) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode()


def _time(headers: dict[str, bytes | None], record_time: datetime | None) -> datetime:
    text = headers.get("ce_time")
    if text is None:
        if record_time is None:
            raise UndecodableMessage("the header ce_time is missing, and the record has no timestamp either")
        return record_time
    # RFC 3339 allows small letters, which fromisoformat does not know.
    time = datetime.fromisoformat(text.decode().upper())
    if time.tzinfo is None:
        raise UndecodableMessage(f"the header ce_time is {text.decode()!r}: RFC 3339 requires an offset, such as Z")
    return time


def _not_binary_mode(headers: dict[str, bytes | None]) -> str:
    spec = headers.get("ce_specversion")
    if spec is not None:
        return f"the header ce_specversion is {spec!r}: this version reads CloudEvents 1.x"
    if (headers.get("content-type") or b"").startswith(_STRUCTURED):
        return "a CloudEvent in structured mode: send it in binary mode (ce_ headers, the data alone as the value)"
    return "the header ce_specversion is missing: not a CloudEvent in binary mode"
