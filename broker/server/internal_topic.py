"""
A topic in which a coordinator keeps its state: an ordinary partition log, as durable as records and readable by every
client.

With flush.before.ack every append asks the group fsync for a round; whoever answers a client about it waits for that
round.

It is made with the first record. The coordinators write all live keys anew when the log has become much longer than
they are, and what lies before is then dropped: that keeps the log short until compaction does.
"""

from collections.abc import Mapping

from broker.storage import AppendOrigin
from broker.topics import Background, Catalog, FlushGroup, Partition

_RECORD_BYTES_MAX = 32 << 20


class InternalTopic:
    """Partition 0 of an internal topic; the other partitions are there for tools that count them, and stay empty."""

    def __init__(
        self,
        catalog: Catalog,
        background: Background,
        flushes: FlushGroup,
        name: str,
        *,
        segment_bytes: int,
        partitions: int,
        overrides: Mapping[str, str],
    ) -> None:
        self._catalog = catalog
        self._background = background
        self._flushes = flushes
        self._name = name
        self._partitions = partitions
        self._overrides = {
            "cleanup.policy": "compact",
            "segment.bytes": str(segment_bytes),
            "max.message.bytes": str(min(_RECORD_BYTES_MAX, segment_bytes)),
            **overrides,
        }

    @property
    def start_offset(self) -> int:
        partition = self.find()
        return 0 if partition is None else partition.log.log_start_offset

    @property
    def end_offset(self) -> int:
        partition = self.find()
        return 0 if partition is None else partition.log.next_offset

    def append(self, batch: bytearray) -> int:
        """Appends one batch; its base offset. Raises KafkaError."""
        partition = self.find() or self._create()
        base_offset = partition.append(memoryview(batch), AppendOrigin.COORDINATOR).base_offset
        if partition.log.config.flush_before_ack:
            self._flushes.flush(partition)
        elif partition.flushes_by_itself:
            self._flushes.schedule(partition)
        return base_offset

    def discard_before(self, offset: int) -> None:
        """Flushes, moves the log's start to *offset* and drops the segments before it."""
        partition = self.find()
        if partition is None:
            return
        log = partition.log
        log.flush()
        log.roll()
        log.delete_records(offset)
        for segment in log.apply_retention():
            self._background.run(segment.remove, _done)
        self._catalog.write_checkpoints()

    def find(self) -> Partition | None:
        topic = self._catalog.find(self._name)
        return None if topic is None else topic.partitions[0]

    def _create(self) -> Partition:
        return self._catalog.create(self._name, self._partitions, self._overrides).partitions[0]


def _done(_outcome: object) -> None:
    """A file that could not be removed is found again at the next start."""
