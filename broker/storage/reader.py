"""Finds the place of an offset in the segments of a log, and how far a read may go from there."""

from broker.storage.segment import Segment
from broker.storage.segments import Segments
from broker.storage.slices import LogSlice

_STOPS_MAX = 64


class Reader:
    """
    Reads in one log's segments; offsets have been checked to lie within the log.

    It remembers where readers stopped at the end of the log: a tailing consumer comes back to the same offset, and its
    place need not be searched again.
    """

    __slots__ = ("_segments", "_stops")

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._stops: dict[int, tuple[Segment, int]] = {}

    def slice(
        self, offset: int, max_bytes: int, *, limit: int, next_offset: int, at_least_one_batch: bool
    ) -> LogSlice | None:
        """Whole batches of one segment, from the one that holds *offset* to *limit*. Raises StorageError, OSError."""
        place = self.place(offset)
        if place is None:
            return None
        segment, start = place
        end = self._end_within(segment, limit, next_offset)
        if end - start > max_bytes:
            cut = segment.last_cut(start, max_bytes, end)
            if cut == start and at_least_one_batch:
                cut = start + next(segment.headers(start))[1].size
            end = cut
        return LogSlice(segment.file(), start, end - start) if end > start else None

    def bytes_between(self, offset: int, *, limit: int, next_offset: int) -> int:
        """Bytes of the batches from that which holds *offset* up to offset *limit*. Raises StorageError, OSError."""
        place = self.place(offset)
        if place is None:
            return 0
        segment: Segment | None = place[0]
        size = -place[1]
        while segment is not None and segment.base_offset < limit:
            size += self._end_within(segment, limit, next_offset)
            segment = self._segments.behind(segment)
        return max(size, 0)

    def place(self, offset: int) -> tuple[Segment, int] | None:
        """Segment and position of the first batch that ends at or behind *offset*. Raises StorageError, OSError."""
        segment: Segment | None = self._segments.holding(offset)
        while segment is not None:
            self._segments.read(segment)
            position = self.position_in(segment, offset)
            if position < segment.size:
                return segment, position
            segment = self._segments.behind(segment)
        return None

    def end_of(self, offset: int, read: LogSlice, next_offset: int) -> int:
        """An offset behind all that was *read* from *offset* on, not far behind it. Raises StorageError, OSError."""
        place = self.place(offset)
        if place is None:
            return next_offset
        indexed = place[0].indexes()[0].first_from(read.position + read.size)
        return self._segments.end_of(place[0], next_offset) if indexed is None else indexed

    def remember_end(self, next_offset: int) -> None:
        """Notes that somebody will read on from the end of the log."""
        if len(self._stops) >= _STOPS_MAX:
            self._stops.clear()
        self._stops[next_offset] = (self._segments.active, self._segments.active.size)

    def forget(self) -> None:
        """Drops what was remembered, because positions have changed their meaning."""
        self._stops.clear()

    def position_in(self, segment: Segment, offset: int) -> int:
        """Where the first batch of *segment* that ends at or behind *offset* starts; its size when all end before."""
        stop = self._stops.get(offset)
        if stop is not None and stop[0] is segment:
            return stop[1]
        found = segment.find(offset)
        return segment.size if found is None else found[0]

    def _end_within(self, segment: Segment, limit: int, next_offset: int) -> int:
        """Where in *segment* the batches below offset *limit* end."""
        if limit >= self._segments.end_of(segment, next_offset):
            if limit == next_offset and segment is self._segments.active:
                self.remember_end(next_offset)
            return segment.size
        return self.position_in(segment, limit)
