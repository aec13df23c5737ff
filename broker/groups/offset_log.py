"""Where groups and their offsets are written down: the port, and the records that go through it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from broker.records import Marker


class LogRecord(NamedTuple):
    """A key with its newest value; value None takes the key away (a tombstone)."""

    key: bytes
    value: bytes | None


class Writer(NamedTuple):
    """The transactional producer in whose transaction records are written."""

    producer_id: int
    producer_epoch: int


class StagedRecord(NamedTuple):
    """A record that counts when its writer's transaction is committed."""

    writer: Writer
    record: LogRecord


class WriterEnd(NamedTuple):
    """The end of a writer's transaction: what it has staged counts from here on, or never."""

    producer_id: int
    committed: bool


LogEntry: TypeAlias = LogRecord | StagedRecord | WriterEnd


class OffsetLog(Protocol):
    """One partition of __consumer_offsets: an ordinary partition log, so commits are as durable as records."""

    @property
    def start_offset(self) -> int:
        """The offset of the first record that is still there."""
        ...

    @property
    def end_offset(self) -> int:
        """The offset that the next record gets."""
        ...

    def append(self, records: Sequence[LogRecord], timestamp_ms: int, writer: Writer | None = None) -> int:
        """
        Appends all of *records* as one batch, in *writer*'s transaction when there is one, or none; the offset of the
        first. Raises KafkaError when the log refuses.
        """
        ...

    def append_marker(self, writer: Writer, marker: Marker, timestamp_ms: int) -> None:
        """Ends *writer*'s transaction in this log. Raises KafkaError when the log refuses."""
        ...

    def replay(self) -> Iterator[LogEntry]:
        """Everything from the start to the end, in order."""
        ...

    def discard_before(self, offset: int) -> None:
        """
        Lets go of what lies before *offset*, whose live keys have all been appended again from there on. What is from
        *offset* on has to be on the disk before anything goes; how much goes, and when, is the log's affair.
        """
        ...


def partition_for(group_id: str, partitions: int) -> int:
    """
    The partition of __consumer_offsets that a group belongs to, as Kafka reckons it: Java's hash of the id's UTF-16
    units, its sign bit cleared, modulo *partitions*.
    """
    units = group_id.encode("utf-16-be")
    hashed = 0
    for at in range(0, len(units), 2):
        hashed = (31 * hashed + (units[at] << 8) + units[at + 1]) & 0xFFFFFFFF
    return (hashed & 0x7FFFFFFF) % partitions
