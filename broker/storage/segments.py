"""The segments of one log, in offset order; the last is the active one."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from broker.storage.segment import Segment

_RECENTLY_READ_MAX = 4


class Segments:
    """
    At least one segment, once a log is open.

    Only the active segment and the few sealed ones that were read last keep a file and indexes in memory, so that a log
    of a thousand segments costs no more than one of five.
    """

    __slots__ = ("_base_offsets", "_recently_read", "_segments", "active")

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = list(segments)
        self.active = self._segments[-1]
        """The last one. An attribute, because every append asks for it."""
        self._base_offsets = [segment.base_offset for segment in segments]
        self._recently_read: list[Segment] = []

    def __len__(self) -> int:
        return len(self._segments)

    def __iter__(self) -> Iterator[Segment]:
        return iter(tuple(self._segments))

    @property
    def first(self) -> Segment:
        return self._segments[0]

    @property
    def size(self) -> int:
        """Bytes in all .log files."""
        return sum(segment.size for segment in self._segments)

    def holding(self, offset: int) -> Segment:
        """The segment that has *offset*: the last one that starts at or before it, or the first."""
        return self._segments[max(bisect_right(self._base_offsets, offset) - 1, 0)]

    def behind(self, segment: Segment) -> Segment | None:
        """The next segment; None behind the active one."""
        slot = bisect_right(self._base_offsets, segment.base_offset)
        return self._segments[slot] if slot < len(self._segments) else None

    def end_of(self, segment: Segment, next_offset: int) -> int:
        """The offset at which the next segment starts; for the active one *next_offset*, the log's."""
        slot = bisect_right(self._base_offsets, segment.base_offset)
        return self._base_offsets[slot] if slot < len(self._segments) else next_offset

    def add(self, segment: Segment) -> None:
        """Makes *segment* the active one."""
        sealed = self.active
        self.active = segment
        self._segments.append(segment)
        self._base_offsets.append(segment.base_offset)
        self.read(sealed)

    def remove(self, segment: Segment) -> None:
        """Takes *segment* out, and lets go of its file."""
        slot = bisect_right(self._base_offsets, segment.base_offset) - 1
        del self._segments[slot]
        del self._base_offsets[slot]
        self.active = self._segments[-1]
        if segment in self._recently_read:
            self._recently_read.remove(segment)
        segment.rest()

    def have(self, group: Sequence[Segment]) -> bool:
        """Whether the segments of *group* are all here still, one behind the other, and sealed."""
        slot = bisect_right(self._base_offsets, group[0].base_offset) - 1
        here = self._segments[slot : slot + len(group)] if slot >= 0 else []
        return here == list(group) and group[-1] is not self.active

    def replace(self, group: Sequence[Segment], segment: Segment) -> None:
        """Puts *segment* in the place of *group*, with whose first one it shares the base offset."""
        slot = bisect_right(self._base_offsets, segment.base_offset) - 1
        self._segments[slot : slot + len(group)] = [segment]
        self._base_offsets[slot : slot + len(group)] = [segment.base_offset]
        self.active = self._segments[-1]
        for replaced in group:
            if replaced in self._recently_read:
                self._recently_read.remove(replaced)
            replaced.rest()

    def read(self, segment: Segment) -> None:
        """Notes that somebody reads in *segment*; the sealed one that was read longest ago may rest."""
        recent = self._recently_read
        if segment is self._segments[-1] or (recent and recent[-1] is segment):
            return
        if segment in recent:
            recent.remove(segment)
        recent.append(segment)
        while len(recent) > _RECENTLY_READ_MAX:
            resting = recent.pop(0)
            # A truncation may have made it the active one since.
            if resting is not self.active:
                resting.rest()

    def close(self) -> None:
        """Lets go of every file."""
        for segment in self._segments:
            segment.rest()
