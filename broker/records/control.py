"""
Control records: the markers that end a transaction. One is alone in its batch, whose control and transactional bits
are set.

Layout
    key    i16 version (0), i16 type (0 abort, 1 commit)
    value  i16 version (0), i32 coordinator epoch
Source      Kafka's ControlRecordType, EndTransactionMarker
"""

from enum import IntEnum
from struct import Struct
from typing import NamedTuple

from broker.records.batch import build_batch
from broker.records.header import CorruptBatch
from broker.records.record import NewRecord, Record

_KEY = Struct(">hh")
_VALUE = Struct(">hi")


class MarkerKind(IntEnum):
    """How a transaction ended."""

    ABORT = 0
    COMMIT = 1


class Marker(NamedTuple):
    """The end of a producer's transaction in one partition; the epoch is that of the coordinator that wrote it."""

    kind: MarkerKind
    coordinator_epoch: int


def build_marker(marker: Marker, *, timestamp: int, producer_id: int, producer_epoch: int) -> bytearray:
    """The batch that carries *marker*; it takes one offset, and no sequence of its producer."""
    record = NewRecord(_KEY.pack(0, marker.kind), _VALUE.pack(0, marker.coordinator_epoch))
    return build_batch(
        [record],
        timestamp=timestamp,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        transactional=True,
        control=True,
    )


def parse_marker(record: Record) -> Marker:
    """The marker in a control batch's record; what a later version adds is skipped. Raises CorruptBatch."""
    if record.key is None or len(record.key) < _KEY.size or record.value is None or len(record.value) < _VALUE.size:
        raise CorruptBatch(f"the control record at offset {record.offset} is shorter than a marker")
    kind = int(_KEY.unpack_from(record.key)[1])
    if kind not in MarkerKind.__members__.values():
        raise CorruptBatch(f"the control record at offset {record.offset} has type {kind}, 0 (abort) and 1 are markers")
    return Marker(MarkerKind(kind), int(_VALUE.unpack_from(record.value)[1]))
