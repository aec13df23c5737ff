"""One partition that a consumer has claimed: what waits to be applied, and what is being applied."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import anyio

from eventbus.delivery.subscription import Claim
from eventbus.delivery.wakeup import Wakeup
from eventbus.transport.port import IncomingRecord, PartitionBatch, TopicPartition


@dataclass(slots=True)
class PartitionQueue:
    """Records wait in offset order; one batch, or one stream, is in flight at a time."""

    partition: TopicPartition
    claim: Claim
    reading: int | None
    """What its batches are marked with; None: in doubt, to be claimed again."""
    waiting: deque[IncomingRecord] = field(default_factory=deque[IncomingRecord])
    position: int = 0
    """The reader's position behind everything that waits."""
    in_flight: anyio.CancelScope | None = None
    taken: int = 0
    """How many of those that wait a stream has in its lanes."""
    waiting_bytes: int = 0
    """Keys, values and headers of what waits; of a batch as long as any of its records does."""
    batches: deque[tuple[int, int]] = field(default_factory=deque[tuple[int, int]])
    """The position behind each batch that was read, and its bytes."""
    more: Wakeup = field(default_factory=Wakeup)
    """Set when a stream should look again."""

    def add(self, batch: PartitionBatch) -> None:
        """Appends what was read; a record that is already handled (a broker may answer from a batch's start) is not."""
        done, records = self.claim.next_offset, batch.records
        if records and records[0].offset < done:
            records = [record for record in records if record.offset >= done]
        self.waiting.extend(records)
        self.position = max(self.position, batch.next_offset)
        if records:
            size = _size(records)
            self.batches.append((records[-1].offset + 1, size))
            self.waiting_bytes += size
        self.more.set()

    def doubt(self) -> None:
        """Nothing that has been read so far is applied any more."""
        self.reading = None
        self.waiting.clear()
        self.batches.clear()
        self.taken = self.position = self.waiting_bytes = 0
        self.more.set()

    def is_ready(self) -> bool:
        """Whether a batch can begin: records wait, or the position has moved past what are no records."""
        return self.in_flight is None and (bool(self.waiting) or self.position > self.claim.next_offset)

    def take(self, records_max: int) -> tuple[Sequence[IncomingRecord], int]:
        """
        The next batch, and the position behind it, never before the claim's; the records stay in the queue until
        `done`. Nothing, where the queue has come into doubt since it was ready.
        """
        if len(self.waiting) <= records_max:
            return list(self.waiting), max(self.position, self.claim.next_offset)
        taken = list(islice(self.waiting, records_max))
        return taken, taken[-1].offset + 1

    def take_more(self, records_max: int) -> tuple[Sequence[IncomingRecord], int]:
        """The next of those that no stream has taken yet, and the position behind them."""
        more = list(islice(self.waiting, self.taken, self.taken + records_max))
        self.taken += len(more)
        if self.taken == len(self.waiting):
            return more, max(self.position, self.claim.next_offset)
        return more, more[-1].offset + 1

    def done(self) -> None:
        """Drops what the claim has moved past."""
        done, waiting, dropped = self.claim.next_offset, self.waiting, 0
        while waiting and waiting[0].offset < done:
            waiting.popleft()
            dropped += 1
        self.taken = max(0, self.taken - dropped)
        while self.batches and self.batches[0][0] <= done:
            self.waiting_bytes -= self.batches.popleft()[1]


def _size(records: Iterable[IncomingRecord]) -> int:
    size = 0
    for record in records:
        size += len(record.key or b"") + len(record.value or b"")
        for name, value in record.headers:
            size += len(name) + len(value or b"")
    return size
