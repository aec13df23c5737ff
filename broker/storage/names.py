"""
Names of files and directories in a data directory: Kafka's own.

    orders-0/                           topic, dash, partition
      00000000000000000042.log          batches from offset 42 on (20 digits)
      00000000000000000042.index        offset -> position
      00000000000000000042.timeindex    timestamp -> offset
      00000000000000000042.txnindex     aborted transactions, only where there are some
      00000000000000000042.snapshot     state of the producers before offset 42
      leader-epoch-checkpoint
      ….deleted                         out of the log already; removed by a worker, or at the next start
      ….cleaned                         being written by compaction; the next start throws it away
      ….swap                            written by compaction, about to take its place; the next start finishes that
    orders-0.<32 hex digits>-delete/    a partition on its way out, in the same manner
"""

from pathlib import Path
from uuid import uuid4

from broker.identifiers import TopicPartition

LOG = ".log"
OFFSET_INDEX = ".index"
TIME_INDEX = ".timeindex"
TRANSACTION_INDEX = ".txnindex"
PRODUCER_SNAPSHOT = ".snapshot"
DELETED = ".deleted"
CLEANED = ".cleaned"
SWAP = ".swap"
UNFINISHED = ".tmp"
LEADER_EPOCHS = "leader-epoch-checkpoint"

_DIGITS = 20
_DELETED_DIRECTORY = "-delete"


def offset_name(offset: int, suffix: str) -> str:
    """The name of the file that belongs to *offset*."""
    return f"{offset:0{_DIGITS}d}{suffix}"


def segment_paths(directory: Path, base_offset: int, suffix: str = "") -> tuple[Path, ...]:
    """The files of a segment: .log, .index, .timeindex and, where something was aborted, .txnindex."""
    kinds = (LOG, OFFSET_INDEX, TIME_INDEX, TRANSACTION_INDEX)
    return tuple(directory / offset_name(base_offset, kind + suffix) for kind in kinds)


def offset_in(name: str, suffix: str) -> int | None:
    """The offset that a file's *name* carries; None when the name is not of that kind."""
    digits = name.removesuffix(suffix)
    if digits == name or len(digits) != _DIGITS or not (digits.isascii() and digits.isdigit()):
        return None
    return int(digits)


def partition_in(name: str) -> TopicPartition | None:
    """The partition whose directory has this *name*; None for other directories."""
    topic, dash, partition = name.rpartition("-")
    if not (dash and topic and partition.isascii() and partition.isdigit()):
        return None
    return TopicPartition(topic, int(partition))


def deleted_directory(directory: Path) -> Path:
    """A name under which *directory* can wait for its removal, unlike that of any earlier one."""
    return directory.with_name(f"{directory.name}.{uuid4().hex}{_DELETED_DIRECTORY}")


def is_deleted_directory(name: str) -> bool:
    """Whether a directory of this *name* waits for its removal."""
    return name.endswith(_DELETED_DIRECTORY)
