"""Record batches: the unit in which records are produced, stored, checksummed and fetched; built here, opened here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from broker.records.compression import Compression, UndecodableRecords, compress, decompress
from broker.records.header import (
    HEADER_SIZE,
    LOG_OVERHEAD,
    MAGIC,
    NO_PRODUCER_EPOCH,
    NO_PRODUCER_ID,
    NO_SEQUENCE,
    NO_TIMESTAMP,
    BatchHeader,
    CorruptBatch,
    TimestampType,
    attributes_of,
    crc_is_right,
    parse_header,
    write_header,
)
from broker.records.record import NewRecord, Record, append_record, read_record


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """One whole batch: its parsed header and all its bytes, header included."""

    header: BatchHeader
    data: memoryview

    def records(self) -> Iterator[Record]:
        """
        The records, in offset order; the iterator opens compressed ones.

        Raises CorruptBatch, UndecodableRecords, CompressionUnavailable.
        """
        header = self.header
        append_time = header.max_timestamp if header.timestamp_type is TimestampType.LOG_APPEND_TIME else None
        data = decompress(compression_of(header), self.data[HEADER_SIZE:])
        position = 0
        for _ in range(header.record_count):
            record, position = read_record(data, position, header.base_offset, header.base_timestamp, append_time)
            yield record
        if position != len(data):
            raise CorruptBatch(f"{len(data) - position} bytes behind the last of {header.record_count} records")


def compression_of(header: BatchHeader) -> Compression:
    """The batch's codec. Raises UndecodableRecords for codes 5 to 7."""
    try:
        return Compression(header.compression_code)
    except ValueError as error:
        raise UndecodableRecords(f"compression code {header.compression_code}, 0 to 4 are known") from error


def check_batch(batch: memoryview, header: BatchHeader) -> None:
    """
    That *batch* has exactly the size, magic and CRC that its header says. Raises CorruptBatch.

    Nothing inside the records is looked at.
    """
    if header.batch_length != len(batch) - LOG_OVERHEAD or header.batch_length < HEADER_SIZE - LOG_OVERHEAD:
        raise CorruptBatch(f"a batch length of {header.batch_length} in {len(batch)} bytes")
    if header.magic != MAGIC:
        raise CorruptBatch(f"magic {header.magic}, only {MAGIC} is stored")
    if not crc_is_right(batch, header.crc):
        raise CorruptBatch(f"the CRC does not match its {len(batch)} bytes")


def iterate_batches(buffer: bytes | bytearray | memoryview) -> Iterator[RecordBatch]:
    """The batches that fill *buffer*, each checked. Raises CorruptBatch at the first that is cut off or invalid."""
    view = memoryview(buffer)
    position = 0
    while position < len(view):
        header = parse_header(view, position)
        batch = view[position : position + max(header.size, 0)]
        try:
            check_batch(batch, header)
        except CorruptBatch as error:
            raise CorruptBatch(error.reason, position) from error
        yield RecordBatch(header, batch)
        position += header.size


def build_batch(
    records: Sequence[NewRecord],
    *,
    timestamp: int,
    base_offset: int = 0,
    leader_epoch: int = -1,
    compression: Compression = Compression.NONE,
    producer_id: int = NO_PRODUCER_ID,
    producer_epoch: int = NO_PRODUCER_EPOCH,
    base_sequence: int = NO_SEQUENCE,
    transactional: bool = False,
    control: bool = False,
) -> bytearray:
    """
    One batch of *records* (at least one), ready to append; *timestamp* (ms) is for those that bring none.

    Raises ValueError without records, CompressionUnavailable.
    """
    if not records:
        raise ValueError("a batch has at least one record")
    timestamps = [timestamp if record.timestamp == NO_TIMESTAMP else record.timestamp for record in records]
    body = bytearray()
    for index, record in enumerate(records):
        append_record(body, record, timestamps[index] - timestamps[0], index)
    packed = body if compression is Compression.NONE else compress(compression, bytes(body))
    batch = bytearray(HEADER_SIZE)
    batch += packed
    write_header(
        batch,
        BatchHeader(
            base_offset=base_offset,
            batch_length=len(batch) - LOG_OVERHEAD,
            leader_epoch=leader_epoch,
            magic=MAGIC,
            crc=0,
            attributes=attributes_of(compression_code=compression, transactional=transactional, control=control),
            last_offset_delta=len(records) - 1,
            base_timestamp=timestamps[0],
            max_timestamp=max(timestamps),
            producer_id=producer_id,
            producer_epoch=producer_epoch,
            base_sequence=base_sequence,
            record_count=len(records),
        ),
    )
    return batch
