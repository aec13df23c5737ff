"""
Maps an offset to the byte position of a batch in one segment.

Layout (8 bytes an entry, big-endian, offsets and positions ascending)
    0  u32  relative offset   last offset of the batch - base offset of the segment
    4  u32  position          where that batch starts in the .log file
Density     one entry per index.interval.bytes of batches (4096)
Durability  none: rebuilt from the .log file when missing or unsound. The active segment's entries are in memory only,
            and are saved when the segment is sealed or closed
Source      Kafka's OffsetIndex; docs/explanation/log-format.md
"""

import sys
from array import array
from bisect import bisect_left, bisect_right

from broker.errors import BrokerError

ENTRY_SIZE = 8


class UnsoundIndex(BrokerError):
    """An index file that cannot be one of its segment."""


class OffsetIndex:
    """The entries of one segment."""

    __slots__ = ("_positions", "_relative_offsets", "base_offset")

    def __init__(self, base_offset: int) -> None:
        self.base_offset = base_offset
        self._relative_offsets = array("I")
        self._positions = array("I")

    def __len__(self) -> int:
        return len(self._positions)

    def append(self, last_offset: int, position: int) -> None:
        """Adds the entry of a batch that lies behind all indexed ones."""
        self._relative_offsets.append(last_offset - self.base_offset)
        self._positions.append(position)

    def lookup(self, offset: int) -> tuple[int, int] | None:
        """(last offset, position) of the greatest entry at or below *offset*; None when there is none."""
        slot = bisect_right(self._relative_offsets, offset - self.base_offset) - 1
        return None if slot < 0 else self._entry(slot)

    def lookup_position(self, position: int) -> int:
        """The greatest indexed position at or below *position*; 0 when there is none."""
        slot = bisect_right(self._positions, position) - 1
        return 0 if slot < 0 else self._positions[slot]

    def first_from(self, position: int) -> int | None:
        """The last offset of the first indexed batch at byte *position* or behind it; None when there is none."""
        slot = bisect_left(self._positions, position)
        return None if slot == len(self._positions) else self._entry(slot)[0]

    def last(self) -> tuple[int, int] | None:
        """The last entry as (last offset, position)."""
        return self._entry(len(self._positions) - 1) if self._positions else None

    def truncate(self, size: int) -> None:
        """Drops the entries of batches that start at byte *size* of the .log file or behind it."""
        keep = bisect_right(self._positions, size - 1)
        del self._relative_offsets[keep:]
        del self._positions[keep:]

    def to_bytes(self) -> bytes:
        """The file's content."""
        interleaved = array("I", bytes(ENTRY_SIZE * len(self)))
        interleaved[0::2] = self._relative_offsets
        interleaved[1::2] = self._positions
        if sys.byteorder == "little":
            interleaved.byteswap()
        return interleaved.tobytes()

    @classmethod
    def from_bytes(cls, base_offset: int, content: bytes, log_size: int) -> "OffsetIndex":
        """
        The entries of a file's *content*, for a .log file of *log_size* bytes.

        Raises UnsoundIndex when they cannot belong to it: a wrong size, a last entry out of order or out of reach.
        """
        if len(content) % ENTRY_SIZE:
            raise UnsoundIndex(f"an offset index of {len(content)} bytes, an entry takes {ENTRY_SIZE}")
        interleaved = array("I", content)
        if sys.byteorder == "little":
            interleaved.byteswap()
        index = cls(base_offset)
        index._relative_offsets = interleaved[0::2]
        index._positions = interleaved[1::2]
        if len(index) and (
            index._positions[-1] >= log_size
            or index._positions[0] > index._positions[-1]
            or index._relative_offsets[0] > index._relative_offsets[-1]
        ):
            raise UnsoundIndex(f"an offset index whose last entry is {index.last()} for {log_size} bytes of log")
        return index

    def _entry(self, slot: int) -> tuple[int, int]:
        return self.base_offset + self._relative_offsets[slot], self._positions[slot]
