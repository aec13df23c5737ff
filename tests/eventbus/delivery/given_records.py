"""A list of records as what a stream takes them from."""

from collections.abc import Callable, Sequence

from eventbus.delivery.wakeup import Wakeup
from eventbus.transport import IncomingRecord


class GivenRecords:
    """The `Feed` of records that are all there already, up to *end*; `wanted` may be set to False at any time."""

    def __init__(
        self,
        records: Sequence[IncomingRecord],
        end: int,
        moved: Callable[[], None] = lambda: None,
        *,
        at_once: int = 500,
    ) -> None:
        self.more = Wakeup()
        self.is_wanted = True
        self.taken = 0
        self._records = records
        self._end = end
        self._moved = moved
        self._at_once = at_once

    def take(self, records_max: int) -> tuple[Sequence[IncomingRecord], int]:
        some = self._records[self.taken : self.taken + min(records_max, self._at_once)]
        self.taken += len(some)
        return some, some[-1].offset + 1 if self.taken < len(self._records) and some else self._end

    def moved(self) -> None:
        self._moved()
