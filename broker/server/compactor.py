"""
Compacts logs with cleanup.policy=compact, the dirtiest first and one at a time, until none is due; then sleeps for
log.cleaner.backoff.ms.

Reading and writing are a worker's; putting a new segment in its place, a few renames, is done here. A log whose records
cannot be opened (a codec that is not installed, damaged bytes) is skipped until the broker starts again, and said so
once; a disk that fails is tried again. Internal topics are left out: their coordinators keep them short themselves.
"""

import logging
import time
from functools import partial

from broker.errors import BrokerError, ErrorCode, KafkaError
from broker.handlers.context import BrokerState
from broker.storage import Compaction
from broker.storage.errors import StorageError
from broker.topics import Partition

LOG = logging.getLogger("broker.compaction")

# One interpreter lock for all threads: a worker that computes without end makes the loop's thread wait 5 ms for each of
# its turns. Measured while a log is compacted, one-record round trips: p99 7.0 ms without these, 1.2 ms with them;
# compaction takes twice as long.
WORK_S = 0.001
PAUSE_S = 0.0003


class Breaths:
    """Lets the loop's thread run now and then; called by the worker."""

    def __init__(self) -> None:
        self._next = time.perf_counter() + WORK_S

    def __call__(self) -> None:
        if time.perf_counter() >= self._next:
            time.sleep(PAUSE_S)
            self._next = time.perf_counter() + WORK_S


class Compactor:
    """A source of the alarm, on the loop's thread."""

    def __init__(self, broker: BrokerState) -> None:
        self._broker = broker
        self._backoff_s = broker.config.log_cleaner_backoff_ms / 1000
        self._next = broker.clock.monotonic() + self._backoff_s
        self._runs = False
        self.compactions = 0
        self.dropped = 0
        """Records dropped since the start."""
        self._skipped: set[Partition] = set()

    def next_deadline(self) -> float | None:
        return self._next if self._broker.config.log_cleaner_enable else None

    def expire(self, now: float) -> None:
        self._next = now + self._backoff_s
        self._skipped = {partition for partition in self._skipped if not partition.deleted}
        if not self._runs:
            self._begin_next()

    def _begin_next(self) -> None:
        partition = None if self._broker.stopping else self._dirtiest()
        self._runs = partition is not None
        if partition is not None:
            # What is not on the disk replaces nothing, and few topics are synced before they have to be.
            self._broker.flushes.synced(partition, partial(self._begin, partition))

    def _dirtiest(self) -> Partition | None:
        dirtiest, ratio = None, -1.0
        for topic in self._broker.catalog:
            if topic.is_internal:
                continue
            for partition in topic.partitions:
                if partition.unopened or not partition.log.config.compacts or partition in self._skipped:
                    continue
                try:
                    partition.log.roll_when_overdue()
                    dirt = partition.log.dirt()
                except KafkaError as error:
                    self._failed(partition, error)
                    continue
                if dirt.is_due and dirt.ratio > ratio:
                    dirtiest, ratio = partition, dirt.ratio
        return dirtiest

    def _begin(self, partition: Partition, synced: ErrorCode) -> None:
        compaction = None
        if synced is ErrorCode.NONE and not partition.deleted:
            try:
                compaction = partition.log.compaction_begin(
                    map_bytes_max=self._broker.config.log_cleaner_dedupe_buffer_size
                )
            except KafkaError as error:
                self._failed(partition, error)
        if compaction is None:
            # Next time: the log has changed meanwhile, or the disk has failed.
            self._rest()
        else:
            self._run(partition, compaction)

    def _run(self, partition: Partition, compaction: Compaction) -> None:
        work = partial(compaction.run, Breaths())
        self._broker.background.run(work, partial(self._ran, partition, compaction))

    def _ran(self, partition: Partition, compaction: Compaction, _outcome: Exception | None) -> None:
        try:
            more = partition.log.compaction_advance(compaction)
        except BrokerError as error:
            if not partition.deleted:
                self._failed(partition, error)
            self._rest()
            return
        if more:
            self._run(partition, compaction)
            return
        if compaction.is_done:
            report = compaction.report()
            self.compactions += 1
            self.dropped += report.records_dropped
            LOG.info(
                "log compacted partition=%s clean_offset=%d bytes_before=%d bytes_after=%d records_dropped=%d",
                partition,
                report.clean_offset,
                report.bytes_before,
                report.bytes_after,
                report.records_dropped,
            )
        self._begin_next()

    def _rest(self) -> None:
        self._runs = False
        self._next = self._broker.clock.monotonic() + self._backoff_s

    def _failed(self, partition: Partition, error: BrokerError) -> None:
        if isinstance(error, StorageError) and isinstance(error.reason, OSError):
            LOG.error("compaction failed partition=%s reason=%s; it is tried again", partition, error)
            return
        self._skipped.add(partition)
        LOG.error("compaction skips a log until the broker starts again partition=%s reason=%s", partition, error)
