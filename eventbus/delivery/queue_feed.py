"""A partition's queue as what a stream takes its records from."""

from collections.abc import Callable, Sequence

from eventbus.delivery.partition_queue import PartitionQueue
from eventbus.delivery.wakeup import Wakeup
from eventbus.observability import consumed
from eventbus.transport.port import IncomingRecord


class QueueFeed:
    """
    One stream's `Feed`.

    group_id    for metrics
    wanted      whether the partition is still this consumer's to work on
    goes_on     whether more may be begun, or it is another partition's turn
    progress    called when the claim has moved
    records     how many have been taken
    """

    def __init__(
        self,
        queue: PartitionQueue,
        group_id: str,
        *,
        wanted: Callable[[], bool],
        goes_on: Callable[[], bool],
        progress: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._group_id = group_id
        self._wanted = wanted
        self._goes_on = goes_on
        self._progress = progress
        self.records = 0
        queue.taken = 0

    @property
    def more(self) -> Wakeup:
        return self._queue.more

    @property
    def is_wanted(self) -> bool:
        return self._wanted()

    def take(self, records_max: int) -> tuple[Sequence[IncomingRecord], int]:
        if not (self._wanted() and self._goes_on()):
            return (), 0
        records, position = self._queue.take_more(records_max)
        consumed(self._queue.partition.topic, self._group_id, len(records))
        self.records += len(records)
        return records, position

    def moved(self) -> None:
        self._queue.done()
        self._progress()
