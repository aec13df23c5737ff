"""
What the broker does by itself: retention, checkpoints, expiry of committed offsets. Each has its next deadline; the
alarm waits for the earliest.

Deleting files is a worker's: the log has renamed them already, and whoever still reads them holds them. So is writing
checkpoints.
"""

import logging
from collections.abc import Sequence
from functools import partial

from broker.errors import KafkaError
from broker.handlers.context import BrokerState
from broker.storage import DeletedSegment
from broker.topics import Partition

LOG = logging.getLogger("broker.background")


# Ten microseconds for each: more of them at once would hold up whoever waits for an answer.
_PARTITIONS_A_TURN = 200


class Retention:
    """Applies each log's retention every log.retention.check.interval.ms, a few partitions in a turn of the loop."""

    def __init__(self, broker: BrokerState) -> None:
        self._broker = broker
        self._interval_s = broker.config.log_retention_check_interval_ms / 1000
        self._next = broker.clock.monotonic() + self._interval_s
        self._left: list[Partition] = []
        self.runs = 0
        self.segments = 0
        """Segments deleted since the start."""

    def next_deadline(self) -> float | None:
        return self._next

    def expire(self, now: float) -> None:
        self._next = now + self._interval_s
        runs = bool(self._left)
        self._left = list(self._broker.catalog.partitions())
        if not runs:
            self.runs += 1
            self._turn()

    def _turn(self) -> None:
        if self._broker.stopping:
            self._left.clear()
        for _ in range(min(_PARTITIONS_A_TURN, len(self._left))):
            partition = self._left.pop()
            if not partition.deleted:
                self._apply(partition)
        if self._left:
            self._broker.background.soon(self._turn)

    def _apply(self, partition: Partition) -> None:
        start = partition.log.log_start_offset
        try:
            segments = partition.log.apply_retention()
        except (KafkaError, OSError) as error:
            LOG.error("retention failed partition=%s reason=%s", partition, error)
            return
        if segments:
            self.segments += len(segments)
            LOG.info(
                "segments deleted partition=%s count=%d log_start=%d",
                partition,
                len(segments),
                partition.log.log_start_offset,
            )
            self._broker.background.run(partial(_remove, segments), lambda _outcome: None)
        if partition.log.log_start_offset != start:
            partition.advanced()


class Checkpoints:
    """Writes recovery points, log starts and clean offsets every log.flush.offset.checkpoint.interval.ms."""

    def __init__(self, broker: BrokerState) -> None:
        self._broker = broker
        self._interval_s = broker.config.log_flush_offset_checkpoint_interval_ms / 1000
        self._next = broker.clock.monotonic() + self._interval_s
        self._written: dict[object, tuple[int, int, int]] = {}

    def next_deadline(self) -> float | None:
        return self._next

    def expire(self, now: float) -> None:
        self._next = now + self._interval_s
        points: dict[object, tuple[int, int, int]] = {
            partition: (partition.log.recovery_point, partition.log.log_start_offset, partition.log.clean_offset)
            for partition in self._broker.catalog.partitions()
        }
        if points == self._written:
            return
        taken = self._broker.catalog.take_checkpoints()

        def done(outcome: Exception | None) -> None:
            if outcome is None:
                self._written = points
            else:
                LOG.error("checkpoints not written reason=%s; they are tried again in %g s", outcome, self._interval_s)

        self._broker.background.run(taken.write, done)


def _remove(segments: Sequence[DeletedSegment]) -> None:
    for segment in segments:
        segment.remove()
