"""
A topic in which a coordinator keeps its state: an ordinary partition log, as durable as records and readable by every
client.

With flush.before.ack every append asks the group fsync for a round; whoever answers a client about it waits for that
round.

It is made with the first record. The coordinators write all live keys anew when the log has become much longer than
they are, and what lies before is then dropped: that keeps the log short until compaction does.
"""

import logging
from collections.abc import Mapping
from functools import partial

from broker.errors import ErrorCode, KafkaError
from broker.storage import AppendOrigin
from broker.topics import Background, Catalog, FlushGroup, Partition

LOG = logging.getLogger("broker.coordinators")

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
        self._discards_before = 0
        self._overrides = {
            "cleanup.policy": "compact",
            "segment.bytes": str(segment_bytes),
            "max.message.bytes": str(min(_RECORD_BYTES_MAX, segment_bytes)),
            **overrides,
        }

    @property
    def start_offset(self) -> int:
        partition = self.find()
        return 0 if partition is None else max(partition.log.log_start_offset, self._discards_before)

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
        elif partition.log.config.flushes:
            self._flushes.schedule(partition)
        return base_offset

    def discard_before(self, offset: int) -> None:
        """
        Has the log synced by the next round of fsync, and then moves its start to *offset* and drops the segments
        before it. `start_offset` is *offset* at once, so that nobody asks again meanwhile.
        """
        partition = self.find()
        if partition is not None:
            self._discards_before = offset
            self._flushes.synced(partition, partial(self._discard, partition, offset))

    def _discard(self, partition: Partition, offset: int, synced: ErrorCode) -> None:
        self._discards_before = 0
        # What was not brought to the disk replaces nothing; the log stays long until the next time.
        if synced is not ErrorCode.NONE or partition.deleted:
            return
        log = partition.log
        try:
            log.roll()
            log.delete_records(offset)
            deleted = log.apply_retention()
        except KafkaError as error:
            LOG.error("records not discarded partition=%s reason=%s; tried again when it has grown", partition, error)
            return
        for segment in deleted:
            self._background.run(segment.remove, _done)
        self._background.run(self._catalog.take_checkpoints().write, _done)

    def find(self) -> Partition | None:
        topic = self._catalog.find(self._name)
        return None if topic is None else topic.partitions[0]

    def _create(self) -> Partition:
        return self._catalog.create_internal(self._name, self._partitions, self._overrides).partitions[0]


def _done(_outcome: object) -> None:
    """A file that could not be removed is found at the next start; checkpoints are written again in a minute."""
