"""Record batches, format 2: bytes in, bytes out, no I/O."""

from broker.records.batch import RecordBatch, build_batch, iterate_batches
from broker.records.compression import Compression, CompressionUnavailable, UndecodableRecords
from broker.records.control import Marker, MarkerKind, build_marker, parse_marker
from broker.records.header import BatchHeader, CorruptBatch, TimestampType, parse_header
from broker.records.record import NewRecord, Record
from broker.records.survivors import PackedRecord, batch_of_survivors, packed_records

__all__ = [
    "BatchHeader",
    "Compression",
    "CompressionUnavailable",
    "CorruptBatch",
    "Marker",
    "MarkerKind",
    "NewRecord",
    "PackedRecord",
    "Record",
    "RecordBatch",
    "TimestampType",
    "UndecodableRecords",
    "batch_of_survivors",
    "build_batch",
    "build_marker",
    "iterate_batches",
    "packed_records",
    "parse_header",
    "parse_marker",
]
