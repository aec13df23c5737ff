"""
Group fsync: one fsync answers every append that was waiting when it began.

A topic with flush.before.ack=true answers a produce when its bytes are on the disk. An fsync costs the same for one
append as for a thousand, so appends wait for the next round; a round flushes every partition that somebody waits for,
in a worker thread, and what arrives meanwhile belongs to the next one. A topic with flush.ms or flush.messages takes
part without anybody waiting. The high watermark of such a partition moves with the round, so nobody reads what a power
cut could take back.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from broker.clock import Clock
from broker.errors import ErrorCode
from broker.storage import PendingFlush
from broker.storage.errors import StorageError
from broker.topics.partition import Partition

LOG = logging.getLogger("broker.flush")

T = TypeVar("T")

# flush.ms is "never" by default, which is some 300 million years: no timer for that.
_HORIZON_S = 10 * 365 * 86_400.0


class Background(Protocol):
    """Threads for what may block, given by the server."""

    def run(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        """Runs *work* elsewhere, then *done* with its result or its exception on the calling thread."""
        ...

    def soon(self, work: Callable[[], None]) -> None:
        """Runs *work* on the calling thread when everything that is ready now has been handled."""
        ...


class InlineBackground:
    """The port for tools and tests without an event loop: everything at once, on the calling thread."""

    def run(self, work: Callable[[], T], done: Callable[[T | Exception], None]) -> None:
        try:
            outcome: T | Exception = work()
        except Exception as error:
            outcome = error
        done(outcome)

    def soon(self, work: Callable[[], None]) -> None:
        work()


@dataclass(frozen=True, slots=True)
class _Waiting:
    partition: Partition
    last_offset: int
    answer: Callable[[ErrorCode], None]


class FlushGroup:
    """Rounds of fsync over the partitions that somebody waits for."""

    def __init__(self, background: Background, clock: Clock) -> None:
        self._background = background
        self._clock = clock
        self._waiting: list[_Waiting] = []
        self._due: dict[Partition, float] = {}
        # Asked for after every turn of every connection, so it is not searched for each time.
        self._earliest: float | None = None
        self._round_runs = False
        self._round_is_due = False
        self.rounds = 0

    def wait(self, partition: Partition, last_offset: int, answer: Callable[[ErrorCode], None]) -> None:
        """
        Calls *answer* once: NONE when everything up to *last_offset* is on the disk, KAFKA_STORAGE_ERROR when the fsync
        failed.
        """
        if partition.log.high_watermark > last_offset:
            answer(ErrorCode.NONE)
            return
        self._waiting.append(_Waiting(partition, last_offset, answer))
        self._next_round()

    def synced(self, partition: Partition, answer: Callable[[ErrorCode], None]) -> None:
        """
        Calls *answer* once, as wait() does, but also for a partition whose readers do not wait for the disk: a
        coordinator's log, before a decision in it is acted on.
        """
        self._waiting.append(_Waiting(partition, partition.log.next_offset - 1, answer))
        self._next_round()

    def schedule(self, partition: Partition) -> None:
        """Notes when the partition has to be flushed by its flush.ms or flush.messages, if it has to be."""
        log = partition.log
        if log.needs_flush:
            due = self._due.pop(partition, None)
            if due is not None and due == self._earliest:
                self._earliest = min(self._due.values(), default=None)
            self.flush(partition)
        elif partition not in self._due:
            deadline = log.flush_deadline()
            if deadline is not None and deadline < self._clock.monotonic() + _HORIZON_S:
                self._due[partition] = deadline
                if self._earliest is None or deadline < self._earliest:
                    self._earliest = deadline

    def next_deadline(self) -> float | None:
        """When the next partition has to be flushed, in monotonic seconds."""
        return self._earliest

    def expire(self, now: float) -> None:
        """Begins the flush of every partition that is due."""
        for partition in [partition for partition, due in self._due.items() if due <= now]:
            del self._due[partition]
            if not partition.deleted:
                self._waiting.append(_Waiting(partition, partition.log.next_offset - 1, _nobody_waits))
        self._earliest = min(self._due.values(), default=None)
        self._next_round()

    def _next_round(self) -> None:
        if self._round_runs or self._round_is_due or not self._waiting:
            return
        # Not at once: the requests that were read in the same turn of the loop join this round.
        self._round_is_due = True
        self._background.soon(self._begin)

    def flush(self, partition: Partition) -> None:
        """Flushes with the next round; nobody waits for it (acks=0)."""
        self._waiting.append(_Waiting(partition, partition.log.next_offset - 1, _nobody_waits))
        self._next_round()

    def _begin(self) -> None:
        self._round_is_due = False
        waiting, self._waiting = self._waiting, []
        flushes: list[tuple[Partition, PendingFlush]] = []
        failed: set[Partition] = set()
        for partition in dict.fromkeys(entry.partition for entry in waiting):
            if partition.deleted:
                continue
            try:
                flushes.append((partition, partition.log.flush_begin()))
            except StorageError as error:
                failed.add(partition)
                LOG.error("fsync refused partition=%s reason=%s", partition, error)
        self._round_runs = True
        self.rounds += 1

        def fsync() -> None:
            for _, pending in flushes:
                pending.run()

        def done(_outcome: object) -> None:
            self._round_runs = False
            self._complete(flushes, failed, waiting)
            self._next_round()

        self._background.run(fsync, done)

    def _complete(
        self, flushes: list[tuple[Partition, PendingFlush]], failed: set[Partition], waiting: list[_Waiting]
    ) -> None:
        for partition, pending in flushes:
            try:
                partition.log.flush_complete(pending)
            except StorageError:
                # The log has said so.
                failed.add(partition)
        for entry in waiting:
            if entry.partition in failed:
                entry.answer(ErrorCode.KAFKA_STORAGE_ERROR)
            elif entry.partition.deleted:
                entry.answer(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            else:
                entry.answer(ErrorCode.NONE)
        for partition, _ in flushes:
            if partition not in failed and not partition.deleted:
                partition.advanced()


def _nobody_waits(_error: ErrorCode) -> None:
    """For flushes by time and for acks=0."""
