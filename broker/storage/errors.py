"""
What storage refuses, by whose fault it is. Each is a KafkaError: its code and its text are what the peer is answered.

    KafkaError
    ├── AppendRefused            the producer's: the batch is not stored, nothing has changed
    │   ├── CorruptMessage           size, magic or CRC do not fit the bytes
    │   ├── MessageTooLarge          above max.message.bytes
    │   ├── RecordListTooLarge       above segment.bytes
    │   ├── InvalidRecord            a batch that breaks a rule: counts, control bits, a missing key
    │   │   └── NotOneBatch              no whole batch of format 2, or more than one
    │   ├── InvalidTimestamp         further from now than the topic allows
    │   ├── UnsupportedCompression   a codec that is unknown, or not installed where it is needed
    │   ├── OutOfOrderSequence       a gap in the producer's sequence
    │   ├── InvalidProducerEpoch     a producer that was fenced by a newer one
    │   └── InvalidTransactionState  a batch outside a transaction from a producer that is inside one
    ├── OffsetOutOfRange         the reader's: outside log start offset to next offset
    └── StorageError             the disk's: the numbers in the text say which file and what it said

What an error of the disk asks for from whoever runs the broker: `way_out`.
"""

import errno
from pathlib import Path

from broker.errors import ErrorCode, KafkaError

_WAYS_OUT = {
    errno.ENOSPC: "free some room on its disk",
    errno.EDQUOT: "free some room in its quota",
    errno.EROFS: "check its disk, and mount it writable",
    errno.EACCES: "give this user write access",
    errno.EPERM: "give this user write access",
    errno.EIO: "the disk fails: copy what it still gives to another one",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit of open files",
}


def way_out(error: OSError) -> str:
    """What to do about *error*, for the end of a sentence that names the place; nothing was changed there."""
    return _WAYS_OUT.get(error.errno or 0, "see what is there")


class AppendRefused(KafkaError):
    """A batch that is not stored."""


class CorruptMessage(AppendRefused):
    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.CORRUPT_MESSAGE, message)


class MessageTooLarge(AppendRefused):
    def __init__(self, size: int, size_max: int) -> None:
        super().__init__(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"a batch of {size} bytes, the topic takes {size_max} (max.message.bytes)",
        )


class RecordListTooLarge(AppendRefused):
    def __init__(self, size: int, size_max: int) -> None:
        super().__init__(
            ErrorCode.RECORD_LIST_TOO_LARGE,
            f"a batch of {size} bytes, a segment of the topic takes {size_max} (segment.bytes)",
        )


class InvalidRecord(AppendRefused):
    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.INVALID_RECORD, message)


class NotOneBatch(InvalidRecord):
    """No whole batch, more than one, or one of a format that is not taken: nothing was looked at inside."""


class InvalidTimestamp(AppendRefused):
    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.INVALID_TIMESTAMP, message)


class UnsupportedCompression(AppendRefused):
    def __init__(self, message: str) -> None:
        super().__init__(ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, message)


class OutOfOrderSequence(AppendRefused):
    def __init__(self, producer_id: int, expected: int, received: int) -> None:
        super().__init__(
            ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
            f"producer {producer_id}: expected sequence {expected}, got {received}",
        )


class InvalidProducerEpoch(AppendRefused):
    def __init__(self, producer_id: int, current: int, received: int) -> None:
        super().__init__(
            ErrorCode.INVALID_PRODUCER_EPOCH,
            f"producer {producer_id}: epoch {received} was fenced by epoch {current}",
        )


class InvalidTransactionState(AppendRefused):
    def __init__(self, producer_id: int, transaction_start: int) -> None:
        super().__init__(
            ErrorCode.INVALID_TXN_STATE,
            f"producer {producer_id} has a transaction open since offset {transaction_start};"
            " until it ends, every batch has to belong to it",
        )


class OffsetOutOfRange(KafkaError):
    def __init__(self, offset: int, log_start_offset: int, next_offset: int) -> None:
        super().__init__(
            ErrorCode.OFFSET_OUT_OF_RANGE,
            f"offset {offset}, the log has {log_start_offset} to {next_offset}",
        )


class StorageError(KafkaError):
    """The disk failed. What was acknowledged before is still there, and reads go on."""

    def __init__(self, path: Path, reason: OSError | str) -> None:
        super().__init__(ErrorCode.KAFKA_STORAGE_ERROR, f"{path}: {reason}")
        self.path = path
        self.reason = reason
