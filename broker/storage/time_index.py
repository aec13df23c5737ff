"""
Maps a timestamp to an offset in one segment.

Layout (12 bytes an entry, big-endian, timestamps ascending)
    0  i64  timestamp         the largest one up to and with the batch, ms since 1970
    8  u32  relative offset   last offset of the batch that has it - base offset of the segment
Meaning     every batch whose largest timestamp is above an entry's lies behind that entry's batch
Density     with each entry of the offset index, when the largest timestamp has grown; one more when the segment is
            sealed, so that the last entry is the segment's largest timestamp
Durability  none, as for the offset index
Source      Kafka's TimeIndex; docs/explanation/log-format.md
"""

from array import array
from bisect import bisect_left
from struct import Struct

from broker.storage.offset_index import UnsoundIndex

ENTRY_SIZE = 12
_ENTRY = Struct(">qI")


class TimeIndex:
    """The entries of one segment."""

    __slots__ = ("_relative_offsets", "_timestamps", "base_offset")

    def __init__(self, base_offset: int) -> None:
        self.base_offset = base_offset
        self._timestamps = array("q")
        self._relative_offsets = array("I")

    def __len__(self) -> int:
        return len(self._timestamps)

    def append_if_larger(self, timestamp: int, last_offset: int) -> None:
        """Adds an entry unless the last one's timestamp is as large."""
        if timestamp >= 0 and (not self._timestamps or timestamp > self._timestamps[-1]):
            self._timestamps.append(timestamp)
            self._relative_offsets.append(last_offset - self.base_offset)

    def lookup_below(self, timestamp: int) -> int:
        """An offset before which no batch reaches *timestamp*: the greatest entry's below it, or the base offset."""
        slot = bisect_left(self._timestamps, timestamp) - 1
        return self.base_offset if slot < 0 else self.base_offset + self._relative_offsets[slot]

    def last(self) -> tuple[int, int] | None:
        """The last entry as (timestamp, last offset of its batch)."""
        if not self._timestamps:
            return None
        return self._timestamps[-1], self.base_offset + self._relative_offsets[-1]

    def truncate(self, next_offset: int) -> None:
        """Drops the entries of batches that end at *next_offset* or behind it."""
        keep = bisect_left(self._relative_offsets, next_offset - self.base_offset)
        del self._timestamps[keep:]
        del self._relative_offsets[keep:]

    def to_bytes(self) -> bytes:
        """The file's content."""
        return b"".join(map(_ENTRY.pack, self._timestamps, self._relative_offsets))

    @classmethod
    def from_bytes(cls, base_offset: int, content: bytes) -> "TimeIndex":
        """The entries of a file's *content*. Raises UnsoundIndex when its size or the order of its ends is wrong."""
        if len(content) % ENTRY_SIZE:
            raise UnsoundIndex(f"a time index of {len(content)} bytes, an entry takes {ENTRY_SIZE}")
        index = cls(base_offset)
        for timestamp, relative_offset in _ENTRY.iter_unpack(content):
            index._timestamps.append(timestamp)
            index._relative_offsets.append(relative_offset)
        if len(index) and (
            index._timestamps[0] > index._timestamps[-1] or index._relative_offsets[0] > index._relative_offsets[-1]
        ):
            raise UnsoundIndex(f"a time index whose last entry is {index.last()}")
        return index
