"""
Where a position in a partition is after its records have been copied, one behind the other from 0 on.

A log has gaps: markers of transactions, records that were aborted or compacted away, a start that is not 0. The copy
has none. So a position becomes the number of records before it:

    old   5 6 7 . 9 10 . 12 .          the partition begins at 5, its end is 14
    new   0 1 2   3  4    5

    5 → 0    7 → 2    8 → 3 (nothing is at 8: the next record is)    14 → 6 (the end)

Memory   16 bytes a run of offsets without a gap
"""

from array import array
from bisect import bisect_right


class OffsetMap:
    """One partition. `add` every record in order, then ask."""

    __slots__ = ("_first_offsets", "_first_ranks", "_next", "count", "end", "start")

    def __init__(self, start: int, end: int) -> None:
        """*start* and *end* of the old partition, as the log itself gives them."""
        self.start = start
        self.end = end
        self.count = 0
        self._next = -1
        self._first_offsets = array("q")
        self._first_ranks = array("q")

    def add(self, offset: int) -> None:
        """The next record of the old partition."""
        if offset != self._next:
            self._first_offsets.append(offset)
            self._first_ranks.append(self.count)
        self._next = offset + 1
        self.count += 1

    def position(self, offset: int) -> int | None:
        """
        The new position of *offset*; None when the old partition does not hold it: deleted, or of another log.
        """
        if not self.start <= offset <= self.end:
            return None
        run = bisect_right(self._first_offsets, offset) - 1
        if run < 0:
            return 0
        rank = self._first_ranks[run] + offset - self._first_offsets[run]
        bound = self._first_ranks[run + 1] if run + 1 < len(self._first_ranks) else self.count
        return min(rank, bound)

    def is_behind_all(self, offset: int) -> bool:
        """Whether every record lies before *offset*."""
        return self.position(offset) == self.count
