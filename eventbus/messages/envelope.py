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

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, cast

from eventbus.errors import UndecodableMessage

JSON_CONTENT_TYPE: Final = "application/json"
_STRUCTURED: Final = b"application/cloudevents"


@dataclass(slots=True, unsafe_hash=True)
class Envelope:
    """
    One message's CloudEvents attributes and extensions. Not frozen, because a frozen one costs 1 µs more, a record;
    treat it as if it were.
    """

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
        return cls.from_header_map(dict(headers), time=time)

    @classmethod
    def from_header_map(cls, found: Mapping[str, bytes | None], *, time: datetime | None = None) -> "Envelope":
        """The same, for who has the last of each name already."""
        # Written out, as every record that is read comes by: a call for each header doubles what it costs.
        get = found.get
        try:
            spec = get("ce_specversion")
            if spec is None or not spec.startswith(b"1."):
                raise UndecodableMessage(_not_binary_mode(found))
            id, kind, source = get("ce_id"), get("ce_type"), get("ce_source")
            if not id or not kind or not source:
                raise UndecodableMessage(_required_missing(found))
            sent_at = get("ce_time")
            if sent_at is not None:
                time = _time(sent_at)
            elif time is None:
                raise UndecodableMessage("the header ce_time is missing, and the record has no timestamp either")
            subject, stream, stream_version = get("ce_subject"), get("ce_stream"), get("ce_streamversion")
            correlation_id, causation_id = get("ce_correlationid"), get("ce_causationid")
            trace = get("traceparent") or get("ce_traceparent")
            return cls(
                id.decode(),
                kind.decode(),
                int(get("ce_eventversion") or b"1"),
                source.decode(),
                time,
                None if subject is None else subject.decode(),
                None if stream is None else stream.decode(),
                None if stream_version is None else int(stream_version),
                None if correlation_id is None else correlation_id.decode(),
                None if causation_id is None else causation_id.decode(),
                None if trace is None else trace.decode(),
            )
        except (UnicodeDecodeError, ValueError) as error:
            raise UndecodableMessage(f"a header cannot be read: {error}") from error


def is_readable(found: Mapping[str, bytes | None]) -> bool:
    """
    Whether these headers are for certain an envelope with a time of its own, for who needs nothing of it yet: that is
    less than half of reading it. False says nothing; reading them does.
    """
    try:
        sent_at = datetime.fromisoformat((found["ce_time"] or b"").decode().upper())
        return (
            sent_at.tzinfo is not None
            and (found["ce_specversion"] or b"").startswith(b"1.")
            and bool(found["ce_id"] and found["ce_type"] and found["ce_source"])
            and _is_number(found.get("ce_eventversion", b"1"))
            and _is_number(found.get("ce_streamversion", b"1"))
            # ASCII can be decoded; of anything else, or a header that is null, let those judge who decode it.
            and b"".join(cast("Iterable[bytes]", found.values())).isascii()
        )
    except (KeyError, TypeError, ValueError):
        return False


def _is_number(value: bytes | None) -> bool:
    return value == b"1" or (value is not None and len(value) < 19 and value.isdigit())


def _required_missing(headers: Mapping[str, bytes | None]) -> str:
    name = next(name for name in ("ce_id", "ce_type", "ce_source") if not headers.get(name))
    return f"the header {name} is missing or empty: CloudEvents 1.0 requires it"


def _time(sent_at: bytes) -> datetime:
    # RFC 3339 allows small letters, which fromisoformat does not know.
    time = datetime.fromisoformat(sent_at.decode().upper())
    if time.tzinfo is None:
        raise UndecodableMessage(f"the header ce_time is {sent_at.decode()!r}: RFC 3339 requires an offset, such as Z")
    return time


def _not_binary_mode(headers: Mapping[str, bytes | None]) -> str:
    spec = headers.get("ce_specversion")
    if spec is not None:
        return f"the header ce_specversion is {spec!r}: this version reads CloudEvents 1.x"
    if (headers.get("content-type") or b"").startswith(_STRUCTURED):
        return "a CloudEvent in structured mode: send it in binary mode (ce_ headers, the data alone as the value)"
    return "the header ce_specversion is missing: not a CloudEvent in binary mode"
