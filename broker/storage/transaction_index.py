"""
Which transactions were aborted by a marker in one segment, so that a reader of committed records can leave them out.

Layout (34 bytes an entry, big-endian, last offsets ascending)
     0  i16  version              0
     2  i64  producer id
    10  i64  first offset         of the transaction, perhaps in an earlier segment
    18  i64  last offset          of its abort marker, in this segment
    26  i64  last stable offset   of the log behind the marker: the start of the earliest transaction that was then open
Meaning     who reads from F up to E needs the entries with last offset >= F and first offset < E; behind an entry whose
            last stable offset is at or behind E there are none, in this and in all later segments
Durability  saved before the recovery point passes it; what lies behind is built again from the markers
File        NNN.txnindex, only where something was aborted
Source      Kafka's TransactionIndex, AbortedTxn
"""

from bisect import bisect_left
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from broker.storage.files import FileSystem, opened, read_whole
from broker.storage.offset_index import UnsoundIndex

ENTRY_SIZE = 34
_ENTRY = Struct(">hqqqq")
_VERSION = 0
_last_offset = attrgetter("last_offset")


class AbortedTransaction(NamedTuple):
    """An entry; its fields are described on top of this module."""

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


class TransactionIndex:
    """The entries of one segment, in memory; save() brings what is new into the file."""

    __slots__ = ("_entries", "_files", "_path", "_saved")

    def __init__(self, path: Path, files: FileSystem) -> None:
        self._path = path
        self._files = files
        self._entries: list[AbortedTransaction] = []
        self._saved = 0

    @classmethod
    def load(cls, path: Path, files: FileSystem) -> "TransactionIndex":
        """What the file at *path* has; no file has nothing. Raises OSError, UnsoundIndex."""
        index = cls(path, files)
        try:
            content = read_whole(files, path)
        except FileNotFoundError:
            return index
        if len(content) % ENTRY_SIZE:
            raise UnsoundIndex(f"{path}: {len(content)} bytes, an entry takes {ENTRY_SIZE}")
        previous = -1
        for version, *fields in _ENTRY.iter_unpack(content):
            entry = AbortedTransaction(*fields)
            if version != _VERSION or not previous < entry.last_offset >= entry.first_offset:
                raise UnsoundIndex(f"{path}: version {version}, {entry} behind last offset {previous}")
            previous = entry.last_offset
            index._entries.append(entry)
        index._saved = len(index._entries)
        return index

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[AbortedTransaction]:
        return iter(self._entries)

    @property
    def is_saved(self) -> bool:
        return self._saved == len(self._entries)

    def append(self, entry: AbortedTransaction) -> None:
        """Adds a transaction whose marker lies behind those of all others."""
        self._entries.append(entry)

    def save(self, *, sync: bool = False) -> None:
        """Writes what is not in the file yet. Raises OSError; the next call tries again."""
        if self.is_saved:
            return
        unsaved = b"".join(_ENTRY.pack(_VERSION, *entry) for entry in self._entries[self._saved :])
        with opened(self._files, self._path, create=True) as file:
            # At its place, not at the end: an earlier try may have left a part.
            file.write_at(self._saved * ENTRY_SIZE, unsaved)
            if sync:
                file.sync()
        self._saved = len(self._entries)

    def renamed(self, path: Path) -> None:
        """Notes that the file has another name now."""
        self._path = path

    def truncate(self, next_offset: int) -> None:
        """Drops the transactions whose markers lie at *next_offset* or behind it. Raises OSError."""
        kept = [entry for entry in self._entries if entry.last_offset < next_offset]
        if len(kept) == len(self._entries):
            return
        with opened(self._files, self._path, create=True) as file:
            file.truncate(min(self._saved, len(kept)) * ENTRY_SIZE)
        self._entries = kept
        self._saved = min(self._saved, len(kept))

    def overlapping(self, offset: int, up_to: int) -> tuple[list[AbortedTransaction], bool]:
        """
        The aborted transactions with records from *offset* to *up_to*, and whether this is all of them: if not, later
        segments may have more.
        """
        found: list[AbortedTransaction] = []
        for slot in range(bisect_left(self._entries, offset, key=_last_offset), len(self._entries)):
            entry = self._entries[slot]
            if entry.first_offset < up_to:
                found.append(entry)
            if entry.last_stable_offset >= up_to:
                return found, True
        return found, False
