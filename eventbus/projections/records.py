"""
From a record of the log to an event that a projection takes.
"""

from typing import Final

from eventbus.messages import Envelope, Event
from eventbus.projections.build import ProjectedEvent
from eventbus.projections.definition import AnyProjection
from eventbus.serialization.json import decode
from eventbus.serialization.types import MessageTypes
from eventbus.transport.port import IncomingRecord

_NO_HEADER: Final = b""


class RecordDecoder:
    """Reads the events of one projection; the types of others cost a look at one header."""

    def __init__(self, projection: type[AnyProjection], types: MessageTypes) -> None:
        self._types = types
        self._wanted = {name.encode(): event for event in projection.event_types() for name in event.event_names()}
        self._versions = {name: str(event.message_version).encode() for name, event in self._wanted.items()}

    def decode(self, record: IncomingRecord) -> ProjectedEvent | None:
        """The event in *record*; None: not one that the projection takes. Raises UndecodableMessage."""
        headers = record.header_map
        kind = headers.get("ce_type")
        wanted = None if kind is None else self._wanted.get(kind)
        if kind is not None and wanted is None:
            return None
        # A whole envelope costs as much as all the rest, and of today's version these four are all that is needed.
        id, source = headers.get("ce_id"), headers.get("ce_source")
        stream, version = headers.get("ce_stream"), headers.get("ce_streamversion")
        if (
            wanted is not None
            and id
            and source
            and record.value is not None
            and headers.get("ce_eventversion") == self._versions[kind or _NO_HEADER]
            and (headers.get("ce_specversion") or _NO_HEADER).startswith(b"1.")
            and (stream is None) == (version is None)
        ):
            event = decode(wanted, record.value)
            try:
                if stream is None or version is None:
                    return ProjectedEvent(event, id.decode(), None, 0)
                return ProjectedEvent(event, id.decode(), (source.decode(), stream.decode()), int(version))
            except ValueError:
                pass  # bytes that are no text, or no number: the envelope says which header
        return self.decode_data(Envelope.from_header_map(headers, time=record.written_at), record.value)

    def decode_data(self, envelope: Envelope, data: bytes | None) -> ProjectedEvent | None:
        """The same of a message whose envelope has been read already."""
        event = self._types.decode(envelope, data)
        return None if event is None or type(event) not in self._wanted.values() else _projected(envelope, event)


def _projected(envelope: Envelope, event: Event) -> ProjectedEvent:
    if envelope.stream is None or envelope.stream_version is None:
        return ProjectedEvent(event, envelope.id, None, 0)
    return ProjectedEvent(event, envelope.id, (envelope.source, envelope.stream), envelope.stream_version)
