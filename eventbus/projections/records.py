"""
From a record of the log to an event that a projection takes.
"""

from datetime import UTC, datetime

from eventbus.messages import Envelope
from eventbus.projections.build import ProjectedEvent
from eventbus.projections.definition import AnyProjection
from eventbus.serialization.types import MessageTypes
from eventbus.transport.port import IncomingRecord


class RecordDecoder:
    """Reads the events of one projection; the types of others cost a look at one header."""

    def __init__(self, projection: type[AnyProjection], types: MessageTypes) -> None:
        self._types = types
        self._wanted = {name.encode(): event for event in projection.event_types() for name in event.event_names()}

    def decode(self, record: IncomingRecord) -> ProjectedEvent | None:
        """The event in *record*; None: not one that the projection takes. Raises UndecodableMessage."""
        kind = dict(record.headers).get("ce_type")
        if kind is not None and kind not in self._wanted:
            return None
        envelope = Envelope.from_headers(record.headers, time=datetime.fromtimestamp(record.timestamp_ms / 1000, UTC))
        return self.decode_data(envelope, record.value)

    def decode_data(self, envelope: Envelope, data: bytes | None) -> ProjectedEvent | None:
        """The same of a message whose envelope has been read already."""
        event = self._types.decode(envelope, data)
        return None if event is None or type(event) not in self._wanted.values() else ProjectedEvent(envelope, event)
