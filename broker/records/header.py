"""
The 61 bytes in front of every record batch (format 2), and the fields in them that the broker may overwrite.

Layout (big-endian)
     0  i64  base offset              the broker's to write, outside the CRC
     8  i32  batch length             bytes after this field: whole batch = 12 + batch length
    12  i32  partition leader epoch   the broker's to write, outside the CRC
    16  i8   magic                    2
    17  u32  CRC-32C                  over byte 21 to the end of the batch
    21  i16  attributes               bits 0-2 compression, 3 log append time, 4 transactional, 5 control,
                                      6 delete horizon
    23  i32  last offset delta        last offset = base offset + delta, even when compaction removed the last record
    27  i64  base timestamp           of the first record, ms; with bit 6 the delete horizon stands here, the records'
                                      timestamps count from it
    35  i64  max timestamp            the largest, or the append time
    43  i64  producer id              -1: not idempotent
    51  i16  producer epoch
    53  i32  base sequence            of the first record; wraps after 2^31-1 to 0
    57  i32  record count
    61       records, compressed as a whole
Source      Kafka's DefaultRecordBatch; docs/explanation/log-format.md
"""

from collections.abc import Callable
from enum import IntEnum
from struct import Struct
from typing import NamedTuple, cast

from broker.errors import BrokerError
from broker.records.checksum import crc32c

HEADER_SIZE = 61
LOG_OVERHEAD = 12
MAGIC = 2
NO_TIMESTAMP = -1
NO_PRODUCER_ID = -1
NO_PRODUCER_EPOCH = -1
NO_SEQUENCE = -1
SEQUENCE_MAX = 2**31 - 1

_CRC_START = 21
COMPRESSION_MASK = 0x07
LOG_APPEND_TIME_BIT = 0x08
TRANSACTIONAL_BIT = 0x10
CONTROL_BIT = 0x20
DELETE_HORIZON_BIT = 0x40

_HEADER = Struct(">qiibIhiqqqhii")
_I64 = Struct(">q")
_U32 = Struct(">I")
_POSITION = Struct(">qii")
_I16 = Struct(">h")
_unpack_header = _HEADER.unpack_from
# What `_make` does, without its Python: the struct gives exactly the fields.
_new_header = cast("Callable[[type[BatchHeader], tuple[int, ...]], BatchHeader]", tuple.__new__)


class CorruptBatch(BrokerError):
    """Bytes that are no whole, valid batch. *position* counts from the start of the buffer."""

    def __init__(self, reason: str, position: int = 0) -> None:
        super().__init__(f"no valid record batch at byte {position}: {reason}")
        self.reason = reason
        self.position = position


class TimestampType(IntEnum):
    """Whose clock a batch's timestamps are from: the producer's or the log's."""

    CREATE_TIME = 0
    LOG_APPEND_TIME = 1


class BatchHeader(NamedTuple):
    """A batch's fixed fields. One is made per appended batch: a named tuple takes a quarter of a dataclass's time."""

    base_offset: int
    batch_length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_offset_delta: int
    base_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    base_sequence: int
    record_count: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return LOG_OVERHEAD + self.batch_length

    @property
    def last_offset(self) -> int:
        return self.base_offset + self.last_offset_delta

    @property
    def next_offset(self) -> int:
        return self.base_offset + self.last_offset_delta + 1

    @property
    def last_sequence(self) -> int:
        """Sequence of the last record, wrapped; -1 when the producer is not idempotent."""
        if self.base_sequence == NO_SEQUENCE:
            return NO_SEQUENCE
        return add_to_sequence(self.base_sequence, self.last_offset_delta)

    @property
    def compression_code(self) -> int:
        """0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; 5 to 7 mean nothing."""
        return self.attributes & COMPRESSION_MASK

    @property
    def timestamp_type(self) -> TimestampType:
        return TimestampType.LOG_APPEND_TIME if self.attributes & LOG_APPEND_TIME_BIT else TimestampType.CREATE_TIME

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & TRANSACTIONAL_BIT)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & CONTROL_BIT)

    @property
    def delete_horizon_ms(self) -> int | None:
        """From when on compaction may drop the batch's tombstones, or its marker; None when it has set no time yet."""
        return self.base_timestamp if self.attributes & DELETE_HORIZON_BIT else None

    @property
    def has_producer_id(self) -> bool:
        return self.producer_id != NO_PRODUCER_ID


def attributes_of(
    *,
    compression_code: int = 0,
    timestamp_type: TimestampType = TimestampType.CREATE_TIME,
    transactional: bool = False,
    control: bool = False,
) -> int:
    """The attribute bits of a new batch."""
    return (
        compression_code
        | (LOG_APPEND_TIME_BIT if timestamp_type is TimestampType.LOG_APPEND_TIME else 0)
        | (TRANSACTIONAL_BIT if transactional else 0)
        | (CONTROL_BIT if control else 0)
    )


def parse_header(buffer: bytes | bytearray | memoryview, position: int = 0) -> BatchHeader:
    """The header at *position*, unchecked but for its length. Raises CorruptBatch when fewer than 61 bytes are left."""
    if len(buffer) - position < HEADER_SIZE:
        raise CorruptBatch(f"{len(buffer) - position} bytes left, a header takes {HEADER_SIZE}", position)
    return _new_header(BatchHeader, _unpack_header(buffer, position))


def write_header(buffer: bytearray, header: BatchHeader) -> None:
    """Puts *header* in front of the records in *buffer* and seals both with their CRC (header.crc is ignored)."""
    _HEADER.pack_into(buffer, 0, *header)
    _U32.pack_into(buffer, 17, crc32c(memoryview(buffer)[_CRC_START:]))


def crc_is_right(batch: memoryview, crc: int) -> bool:
    """Whether *crc* is that of one whole batch."""
    return crc32c(batch[_CRC_START:]) == crc


def assign_position(batch: memoryview, base_offset: int, leader_epoch: int) -> None:
    """Writes the two fields that the log decides; they lie outside the CRC, so a batch passes through unopened."""
    # With the length between them as it is: one call is cheaper than two.
    _POSITION.pack_into(batch, 0, base_offset, len(batch) - LOG_OVERHEAD, leader_epoch)


def stamp_log_append_time(batch: memoryview, attributes: int, now_ms: int) -> None:
    """Replaces the producer's time by the log's: attribute bit, max timestamp and, because it covers both, the CRC."""
    _I16.pack_into(batch, 21, attributes | LOG_APPEND_TIME_BIT)
    _I64.pack_into(batch, 35, now_ms)
    _U32.pack_into(batch, 17, crc32c(batch[_CRC_START:]))


def add_to_sequence(sequence: int, count: int) -> int:
    """The sequence *count* records later; 0 follows 2^31-1."""
    return (sequence + count) & SEQUENCE_MAX
