"""
What compaction makes of a batch: the records that stay, at their offsets, under the header that they came with.

A batch keeps its base offset, last offset delta, producer, sequence and codec, whatever leaves it: so offsets never
change, and the producer's last sequence is still known. Only the record count, the largest timestamp, the CRC and, with
a delete horizon, the base timestamp are new. A batch without records is a header alone.

Source      Kafka's MemoryRecords.filterTo, DefaultRecordBatch.writeEmptyHeader; KIP-534
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from broker.records.batch import RecordBatch, compression_of
from broker.records.compression import Compression, compress, decompress
from broker.records.header import (
    DELETE_HORIZON_BIT,
    HEADER_SIZE,
    LOG_OVERHEAD,
    BatchHeader,
    CorruptBatch,
    TimestampType,
    write_header,
)
from broker.records.varint import append_varint, read_varint

_COMPRESSION_MASK = 0x07


class PackedRecord(NamedTuple):
    """A record that was opened as far as compaction looks: `packed` are its bytes, length included."""

    offset: int
    timestamp: int
    key: bytes | None
    is_tombstone: bool
    packed: memoryview


def packed_records(batch: RecordBatch) -> Iterator[PackedRecord]:
    """
    The records of *batch*, in offset order, their values and headers unread.

    Raises CorruptBatch, UndecodableRecords, CompressionUnavailable.
    """
    header = batch.header
    data = decompress(compression_of(header), batch.data[HEADER_SIZE:])
    append_time = header.max_timestamp if header.timestamp_type is TimestampType.LOG_APPEND_TIME else None
    position = 0
    try:
        for _ in range(header.record_count):
            length, start = read_varint(data, position)
            end = start + length
            timestamp_delta, cursor = read_varint(data, start + 1)
            offset_delta, cursor = read_varint(data, cursor)
            key_length, cursor = read_varint(data, cursor)
            key = None
            if key_length >= 0:
                key = data[cursor : cursor + key_length].tobytes()
                cursor += key_length
            value_length, cursor = read_varint(data, cursor)
            if length < 0 or cursor + max(value_length, 0) > end or end > len(data):
                raise CorruptBatch(f"a record of {length} bytes whose fields do not fit", position)
            timestamp = header.base_timestamp + timestamp_delta if append_time is None else append_time
            yield PackedRecord(header.base_offset + offset_delta, timestamp, key, value_length < 0, data[position:end])
            position = end
    except (IndexError, ValueError) as error:
        raise CorruptBatch(f"a record that does not decode ({error})", position) from error
    if position != len(data):
        raise CorruptBatch(f"{len(data) - position} bytes behind the last of {header.record_count} records")


def batch_of_survivors(
    header: BatchHeader, records: Sequence[PackedRecord], delete_horizon_ms: int | None = None
) -> bytearray:
    """
    The batch of *header* with *records* only (none: its header alone), and with a delete horizon when one is given.

    Raises CompressionUnavailable.
    """
    attributes, base_timestamp = header.attributes, header.base_timestamp
    if not records:
        # As Kafka has it: nothing is compressed, and no horizon is waited for.
        attributes &= ~(_COMPRESSION_MASK | DELETE_HORIZON_BIT)
        base_timestamp = header.max_timestamp
    body = bytearray()
    if delete_horizon_ms is None:
        for record in records:
            body += record.packed
    else:
        attributes |= DELETE_HORIZON_BIT
        base_timestamp = delete_horizon_ms
        for record in records:
            _append_with_timestamp(body, record.packed, record.timestamp - delete_horizon_ms)
    codec = Compression(attributes & _COMPRESSION_MASK)
    packed = body if codec is Compression.NONE else compress(codec, bytes(body))
    by_producer = header.timestamp_type is TimestampType.CREATE_TIME
    batch = bytearray(HEADER_SIZE)
    batch += packed
    write_header(
        batch,
        header._replace(
            batch_length=len(batch) - LOG_OVERHEAD,
            attributes=attributes,
            base_timestamp=base_timestamp,
            max_timestamp=(
                max(record.timestamp for record in records) if records and by_producer else header.max_timestamp
            ),
            record_count=len(records),
        ),
    )
    return batch


def _append_with_timestamp(buffer: bytearray, packed: memoryview, timestamp_delta: int) -> None:
    _, start = read_varint(packed, 0)
    _, rest = read_varint(packed, start + 1)
    body = bytearray(packed[start : start + 1])
    append_varint(body, timestamp_delta)
    body += packed[rest:]
    append_varint(buffer, len(body))
    buffer += body
