"""
Committed offsets and group metadata in `__consumer_offsets`, an ordinary partition log: as durable as records, and
readable by every client.

The topic is made with the first commit. The coordinator writes all live keys anew when the log has become much longer
than they are, and what lies before is then dropped: that keeps the log short until compaction does.
"""

from collections.abc import Iterator, Sequence

from broker.groups import LogRecord
from broker.records import NewRecord, build_batch
from broker.storage import AppendOrigin
from broker.topics import Background, Catalog, Partition

TOPIC = "__consumer_offsets"
_RECORD_BYTES_MAX = 32 << 20


class PartitionOffsetLog:
    """Implements the `OffsetLog` port of groups on partition 0 of the topic."""

    def __init__(self, catalog: Catalog, background: Background, *, segment_bytes: int, partitions: int) -> None:
        self._catalog = catalog
        self._background = background
        self._partitions = partitions
        self._overrides = {
            "cleanup.policy": "compact",
            # A commit that a power cut takes back is a record that is handled again; an fsync a commit would cost more.
            "flush.before.ack": "false",
            "segment.bytes": str(segment_bytes),
            "max.message.bytes": str(min(_RECORD_BYTES_MAX, segment_bytes)),
        }

    @property
    def start_offset(self) -> int:
        partition = self._find()
        return 0 if partition is None else partition.log.log_start_offset

    @property
    def end_offset(self) -> int:
        partition = self._find()
        return 0 if partition is None else partition.log.next_offset

    def append(self, records: Sequence[LogRecord], timestamp_ms: int) -> int:
        """One batch, all or none; its base offset. Raises KafkaError."""
        batch = build_batch([NewRecord(record.key, record.value) for record in records], timestamp=timestamp_ms)
        partition = self._find() or self._create()
        return partition.append(memoryview(batch), AppendOrigin.COORDINATOR).base_offset

    def replay(self) -> Iterator[LogRecord]:
        """From the start to the end, batch by batch."""
        partition = self._find()
        if partition is None:
            return
        for batch in partition.log.batches(partition.log.log_start_offset):
            for record in batch.records():
                if record.key is not None:
                    yield LogRecord(record.key, record.value)

    def discard_before(self, offset: int) -> None:
        """Flushes, moves the log's start to *offset* and drops the segments before it."""
        partition = self._find()
        if partition is None:
            return
        log = partition.log
        log.flush()
        log.roll()
        log.delete_records(offset)
        for segment in log.apply_retention():
            self._background.run(segment.remove, _done)
        self._catalog.write_checkpoints()

    def _find(self) -> Partition | None:
        topic = self._catalog.find(TOPIC)
        return None if topic is None else topic.partitions[0]

    def _create(self) -> Partition:
        return self._catalog.create(TOPIC, self._partitions, self._overrides).partitions[0]


def _done(_outcome: object) -> None:
    """A file that could not be removed is found again at the next start."""
