"""
What a batch must be before it is stored. Its header is validated; its records are opened on compacted topics only.

Kafka opens every batch here (LogValidator). A difference follows: the timestamps checked are the first record's and the
largest one, not each.
"""

from enum import Enum, auto

from broker.records import (
    BatchHeader,
    CompressionUnavailable,
    CorruptBatch,
    RecordBatch,
    TimestampType,
    UndecodableRecords,
)
from broker.records.batch import compression_of
from broker.records.header import (
    COMPRESSION_MASK,
    CONTROL_BIT,
    HEADER_SIZE,
    LOG_APPEND_TIME_BIT,
    LOG_OVERHEAD,
    MAGIC,
    NO_TIMESTAMP,
    TRANSACTIONAL_BIT,
    crc_is_right,
    parse_header,
)
from broker.storage.config import LogConfig
from broker.storage.errors import (
    CorruptMessage,
    InvalidRecord,
    InvalidTimestamp,
    MessageTooLarge,
    NotOneBatch,
    RecordListTooLarge,
    UnsupportedCompression,
)

_COMPRESSION_MAX = 4


class AppendOrigin(Enum):
    """Who appends: a client, or a coordinator of the broker itself, which may write markers."""

    CLIENT = auto()
    COORDINATOR = auto()


def validate_batch(batch: memoryview, config: LogConfig, now_ms: int, origin: AppendOrigin) -> BatchHeader:
    """
    The header of *batch*, which is exactly one batch that the topic takes.

    Raises CorruptMessage, MessageTooLarge, RecordListTooLarge, InvalidRecord, InvalidTimestamp, UnsupportedCompression.
    """
    size = len(batch)
    if size < HEADER_SIZE:
        raise NotOneBatch(f"{size} bytes of records, a batch has at least {HEADER_SIZE}")
    header = parse_header(batch)
    magic = header.magic
    if magic != MAGIC:
        if magic not in (0, 1):
            raise CorruptMessage(f"record format {magic}, which nobody has written yet")
        raise NotOneBatch(f"record format {magic} is not taken any more, {MAGIC} is")
    if header.batch_length != size - LOG_OVERHEAD:
        _refuse_size(batch, header)
    if size > config.max_message_bytes:
        raise MessageTooLarge(size, config.max_message_bytes)
    if size > config.segment_bytes:
        raise RecordListTooLarge(size, config.segment_bytes)
    if not crc_is_right(batch, header.crc):
        raise CorruptMessage(f"the CRC does not match its {size} bytes")
    if header.record_count <= 0 or header.record_count != header.last_offset_delta + 1:
        raise InvalidRecord(
            f"{header.record_count} records with a last offset delta of {header.last_offset_delta}, expected one less"
        )
    if origin is AppendOrigin.CLIENT:
        _check_clients_rules(header, config, now_ms)
    if config.compacts and not header.is_control:
        _check_keys(batch, header)
    return header


def _refuse_size(batch: memoryview, header: BatchHeader) -> None:
    # Other bytes may be a second batch or half of one, which is the producer's mistake, or a length that was damaged.
    if header.size > len(batch):
        raise NotOneBatch(f"a batch of {header.size} bytes by its length, {len(batch)} were sent")
    if HEADER_SIZE <= header.size <= len(batch) - HEADER_SIZE and batch[header.size + 16] == MAGIC:
        raise NotOneBatch("more than one record batch for a partition, a request has exactly one")
    raise CorruptMessage(f"a batch of {header.size} bytes by its length, {len(batch)} were sent")


def _check_clients_rules(header: BatchHeader, config: LogConfig, now_ms: int) -> None:
    attributes = header.attributes
    if attributes & CONTROL_BIT:
        raise InvalidRecord("a client may not write control records")
    if header.base_offset != 0:
        raise InvalidRecord(f"a base offset of {header.base_offset}: offsets are the log's to give, clients send 0")
    if attributes & COMPRESSION_MASK > _COMPRESSION_MAX:
        raise UnsupportedCompression(f"compression code {attributes & COMPRESSION_MASK}, 0 to 4 are known")
    if header.producer_id >= 0:
        if header.base_sequence < 0 or header.producer_epoch < 0:
            raise InvalidRecord(
                f"producer {header.producer_id} sent epoch {header.producer_epoch}, sequence {header.base_sequence}"
            )
    elif attributes & TRANSACTIONAL_BIT:
        raise InvalidRecord("a transaction without a producer id")
    if config.message_timestamp_type is TimestampType.CREATE_TIME:
        if attributes & LOG_APPEND_TIME_BIT:
            raise InvalidTimestamp("a producer may not send timestamps of type LogAppendTime")
        if header.max_timestamp - now_ms > config.message_timestamp_after_max_ms:
            raise InvalidTimestamp(
                f"timestamp {header.max_timestamp} is {header.max_timestamp - now_ms} ms ahead of the broker,"
                f" {config.message_timestamp_after_max_ms} are allowed (message.timestamp.after.max.ms)"
            )
        first = header.base_timestamp
        if first != NO_TIMESTAMP and now_ms - first > config.message_timestamp_before_max_ms:
            raise InvalidTimestamp(
                f"timestamp {first} is {now_ms - first} ms old,"
                f" {config.message_timestamp_before_max_ms} are allowed (message.timestamp.before.max.ms)"
            )


def _check_keys(batch: memoryview, header: BatchHeader) -> None:
    try:
        compression_of(header)
        for record in RecordBatch(header, batch).records():
            if record.key is None:
                raise InvalidRecord(
                    f"record {record.offset - header.base_offset} has no key, which a compacted topic needs"
                )
    except CompressionUnavailable as error:
        raise UnsupportedCompression(str(error)) from error
    except (CorruptBatch, UndecodableRecords) as error:
        raise InvalidRecord(str(error)) from error
