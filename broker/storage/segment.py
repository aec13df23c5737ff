"""
One segment of a partition log: a .log file of batches, which only grows, its two sparse indexes, and the index of the
transactions that were aborted in it.

The last segment of a log is active: it is written, its indexes are in memory. The others are sealed: their indexes are
saved, and both these and the open file are let go of when nobody has read there for a while (rest()).

Invariant   size is the end of the last whole batch; what lies behind it in the file was never acknowledged
Source      Kafka's LogSegment
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from broker.records.header import BatchHeader, CorruptBatch
from broker.storage.errors import StorageError
from broker.storage.files import Bytes, FileSystem, OpenFile, opened, read_whole
from broker.storage.names import LOG, offset_name, segment_paths
from broker.storage.offset_index import OffsetIndex, UnsoundIndex
from broker.storage.scan import scan_headers, scan_valid_batches
from broker.storage.time_index import TimeIndex
from broker.storage.transaction_index import TransactionIndex

RELATIVE_OFFSET_MAX = 2**31 - 1


class Recovered(NamedTuple):
    """What reading a whole segment found: its valid bytes (the rest was cut), batches, and the offset behind them."""

    bytes_read: int
    bytes_cut: int
    batches: int
    next_offset: int


class Segment:
    """A segment, open. Made by create() and load()."""

    def __init__(
        self, directory: Path, base_offset: int, files: FileSystem, index_interval_bytes: int, *, suffix: str = ""
    ) -> None:
        self.directory = directory
        self.base_offset = base_offset
        self.size = 0
        self._name(suffix)
        self.first_timestamp = -1
        self.reads_markers_again = False
        self._files = files
        self._index_interval_bytes = index_interval_bytes
        self._file: OpenFile | None = None
        self._indexes: tuple[OffsetIndex, TimeIndex] | None = None
        self._transactions: TransactionIndex | None = None
        self._unindexed_bytes = 0
        self.index_entries = 0
        """Of the larger one of the indexes, or more, while they are in memory."""
        self._max_timestamp = -1
        self._max_timestamp_offset = base_offset
        self._torn = False
        self._cut_unsynced = False

    @classmethod
    def create(
        cls, directory: Path, base_offset: int, files: FileSystem, index_interval_bytes: int, *, suffix: str = ""
    ) -> "Segment":
        """A new, empty segment; with a *suffix* its files are no part of the log yet. Raises OSError."""
        segment = cls(directory, base_offset, files, index_interval_bytes, suffix=suffix)
        segment._file = files.open(segment.path, create=True)
        segment._file.truncate(0)
        segment._indexes = (OffsetIndex(base_offset), TimeIndex(base_offset))
        segment._transactions = TransactionIndex(segment.transaction_index_path, files)
        return segment

    @classmethod
    def load(cls, directory: Path, base_offset: int, files: FileSystem, index_interval_bytes: int) -> "Segment":
        """A segment that is there already, taken as it is: nothing is read. Raises OSError."""
        segment = cls(directory, base_offset, files, index_interval_bytes)
        segment.size = files.size(segment.path)
        return segment

    # ---- names

    def rename(self, suffix: str) -> None:
        """
        Gives its files the names with *suffix*, replacing what has them. Raises OSError.

        The .log file first: indexes alone mean nothing, and a start that finds them half-way makes them again.
        """
        before = self.offset_index_path, self.time_index_path, self.transaction_index_path
        has_transactions = len(self.transactions()) > 0
        self._files.rename(self.path, self.directory / offset_name(self.base_offset, LOG + suffix))
        self._name(suffix)
        self._files.rename(before[0], self.offset_index_path)
        self._files.rename(before[1], self.time_index_path)
        if has_transactions:
            self._files.rename(before[2], self.transaction_index_path)
        else:
            self._files.remove(self.transaction_index_path)
        self.transactions().renamed(self.transaction_index_path)

    # ---- writing

    def append(self, batch: Bytes, last_offset: int, max_timestamp: int) -> None:
        """
        Writes one batch up to *last_offset*, whose header has been patched already, at the end.

        Raises StorageError when the disk fails: what was written is cut off again and the segment is as before.
        """
        file = self._file or self.file()
        position = self.size
        if self._torn:
            self._cut_torn_write(file)
        try:
            file.write_at(position, batch)
        except OSError as error:
            self._torn = True
            failure = StorageError(self.path, error)
            try:
                self._cut_torn_write(file)
            except StorageError as second:
                raise failure from second
            raise failure from error
        size = len(batch)
        self.size = position + size
        self._note(position, size, last_offset, max_timestamp)

    def has_full_index(self, segment_index_bytes: int) -> bool:
        """Whether one of the indexes has all the entries that fit into *segment_index_bytes*."""
        offset_index, time_index = self.indexes()
        return len(offset_index) >= segment_index_bytes // 8 or len(time_index) >= segment_index_bytes // 12 - 1

    def seal(self, *, sync: bool = False) -> None:
        """Saves the indexes. The segment can still be written: seal it again then. Raises OSError."""
        offset_index, time_index = self.indexes()
        time_index.append_if_larger(self._max_timestamp, self._max_timestamp_offset)
        for path, content in (
            (self.offset_index_path, offset_index.to_bytes()),
            (self.time_index_path, time_index.to_bytes()),
        ):
            with opened(self._files, path, create=True) as file:
                file.truncate(0)
                file.write_at(0, content)
                if sync:
                    file.sync()
        self.transactions().save(sync=sync)
        if self._torn:
            self._cut_torn_write(self.file())
        if self._cut_unsynced:
            # Nothing may be written here any more that would sync it later.
            self.file().sync()
            self._cut_unsynced = False

    def truncate(self, size: int, offset: int) -> None:
        """Cuts the batches from byte *size* on, all that reach *offset*, and syncs. Raises OSError."""
        offset_index, time_index = self.indexes()
        file = self.file()
        file.truncate(size)
        file.sync()
        self.size = size
        offset_index.truncate(size)
        time_index.truncate(offset)
        self.transactions().truncate(offset)
        self._recount()

    # ---- reading

    def file(self) -> OpenFile:
        """The .log file, opened when it is not. Retain it to keep it past the next call on the log."""
        if self._file is None:
            self._file = self._files.open(self.path)
        return self._file

    def indexes(self) -> tuple[OffsetIndex, TimeIndex]:
        """The indexes, read when they are not in memory, rebuilt when they are missing or unsound."""
        if self._indexes is None:
            try:
                offsets = read_whole(self._files, self.offset_index_path)
                offset_index = OffsetIndex.from_bytes(self.base_offset, offsets, self.size)
                times = read_whole(self._files, self.time_index_path)
                time_index = TimeIndex.from_bytes(self.base_offset, times)
                if self.size and not len(time_index):
                    # Sealing always leaves an entry, unless no record has a timestamp: then look again.
                    return self.rebuild_indexes()
            except (FileNotFoundError, UnsoundIndex):
                return self.rebuild_indexes()
            self._indexes = (offset_index, time_index)
            self.index_entries = max(len(offset_index), len(time_index))
        return self._indexes

    def transactions(self) -> TransactionIndex:
        """The transactions aborted here. Raises OSError, StorageError when the file is damaged."""
        if self._transactions is None:
            try:
                self._transactions = TransactionIndex.load(self.transaction_index_path, self._files)
            except UnsoundIndex as error:
                raise StorageError(self.transaction_index_path, f"{error}; remove it and start again") from error
        return self._transactions

    def forget_transactions(self) -> None:
        """Begins the index of aborted transactions anew: the markers are about to be read again. Raises OSError."""
        self._files.remove(self.transaction_index_path)
        self._transactions = TransactionIndex(self.transaction_index_path, self._files)
        self.reads_markers_again = True

    def rebuild_indexes(self) -> tuple[OffsetIndex, TimeIndex]:
        """The indexes, made from the headers in the .log file. Raises StorageError when these are damaged."""
        indexes = self._start_indexing()
        try:
            for position, header in scan_headers(self.file(), 0, self.size):
                self._note(position, header.size, header.last_offset, header.max_timestamp)
        except CorruptBatch as error:
            raise self._damaged(error) from error
        indexes[1].append_if_larger(self._max_timestamp, self._max_timestamp_offset)
        return indexes

    def recover(self, note_read: Callable[[int], None]) -> Recovered:
        """
        Reads every byte, cuts behind the last whole, valid batch, and rebuilds the indexes; *note_read* is told of the
        bytes of each batch. Raises OSError.
        """
        self._start_indexing()
        self.forget_transactions()
        file = self.file()
        size = file.size()
        valid, batches, next_offset = 0, 0, self.base_offset
        for position, header in scan_valid_batches(file, size, self.base_offset):
            self._note(position, header.size, header.last_offset, header.max_timestamp)
            valid, batches, next_offset = position + header.size, batches + 1, header.next_offset
            note_read(header.size)
        if valid < size:
            file.truncate(valid)
            # Or a loss of power brings the torn bytes back when the segment is sealed and trusted.
            file.sync()
        self.size = valid
        return Recovered(size, size - valid, batches, next_offset)

    def resume(self) -> int:
        """
        Makes a cleanly closed segment active again; the offset behind its last batch.

        Reads from the last index entry on. Raises CorruptBatch when the file does not end with a whole batch, which
        a clean close never leaves.
        """
        offset_index, _ = self.indexes()
        last = offset_index.last()
        next_offset = self.base_offset
        for position, header in scan_headers(self.file(), last[1] if last else 0, self.size):
            if last is not None and position == last[1] and header.last_offset != last[0]:
                raise CorruptBatch(f"the index expects last offset {last[0]}, got {header.last_offset}", position)
            next_offset = header.next_offset
        self._recount()
        return next_offset

    def find(self, offset: int) -> tuple[int, BatchHeader] | None:
        """
        (position, header) of the first batch whose last offset is at or behind *offset*; None when all end before it.

        Raises StorageError when the bytes there are damaged.
        """
        entry = self.indexes()[0].lookup(offset)
        try:
            return self._find_from(entry, offset)
        except CorruptBatch:
            # The entry may be wrong where the log is right: an index that a crash has garbled in the middle.
            entry = self.rebuild_indexes()[0].lookup(offset)
        try:
            return self._find_from(entry, offset)
        except CorruptBatch as error:
            raise self._damaged(error) from error

    def last_cut(self, start: int, size_max: int, end: int) -> int:
        """
        The end of the last batch that ends within *size_max* bytes from *start*, where a batch starts; *start* when
        even the first is larger. Raises StorageError when the bytes there are damaged.
        """
        limit = start + size_max
        cut = max(start, self.indexes()[0].lookup_position(limit))
        try:
            for position, header in scan_headers(self.file(), cut, end):
                if position + header.size > limit:
                    break
                cut = position + header.size
        except CorruptBatch as error:
            raise self._damaged(error) from error
        return cut

    def headers(self, position: int = 0) -> Iterator[tuple[int, BatchHeader]]:
        """(position, header) of each batch from byte *position*. Raises StorageError where they are damaged."""
        try:
            yield from scan_headers(self.file(), position, self.size)
        except CorruptBatch as error:
            raise self._damaged(error) from error

    def largest_timestamp(self) -> tuple[int, int]:
        """(timestamp, last offset of the first batch that has it); the timestamp is -1 when there is none."""
        if self._max_timestamp < 0 and self.size:
            last = self.indexes()[1].last()
            if last is not None:
                self._max_timestamp, self._max_timestamp_offset = last
        return self._max_timestamp, self._max_timestamp_offset

    def modified_ms(self) -> int:
        """When the .log file was last written."""
        return self._files.modified_ms(self.path)

    # ---- letting go

    def rest(self) -> None:
        """Lets go of the open file and the indexes of a sealed segment. Reads that are under way keep their file."""
        if self._file is not None:
            self._file.release()
            self._file = None
        self._indexes = None
        if self._transactions is not None and self._transactions.is_saved and len(self._transactions):
            # An unsaved one stays: only a crash may have its entries made again. An empty one costs nothing, and is
            # asked by every reader of committed records that comes by.
            self._transactions = None

    def _name(self, suffix: str) -> None:
        paths = segment_paths(self.directory, self.base_offset, suffix)
        self.path, self.offset_index_path, self.time_index_path, self.transaction_index_path = paths

    def _start_indexing(self) -> tuple[OffsetIndex, TimeIndex]:
        self._indexes = (OffsetIndex(self.base_offset), TimeIndex(self.base_offset))
        self._unindexed_bytes = self.index_entries = 0
        self._max_timestamp, self._max_timestamp_offset = -1, self.base_offset
        self.first_timestamp = -1
        return self._indexes

    def _note(self, position: int, size: int, last_offset: int, max_timestamp: int) -> None:
        if position == 0:
            self.first_timestamp = max_timestamp
        if max_timestamp > self._max_timestamp:
            self._max_timestamp = max_timestamp
            self._max_timestamp_offset = last_offset
        if self._unindexed_bytes > self._index_interval_bytes:
            offset_index, time_index = self.indexes()
            offset_index.append(last_offset, position)
            time_index.append_if_larger(self._max_timestamp, self._max_timestamp_offset)
            self.index_entries += 1
            self._unindexed_bytes = 0
        self._unindexed_bytes += size

    def _recount(self) -> None:
        """Sets what is counted while writing, from the indexes and the batches behind the last entry."""
        offset_index, time_index = self.indexes()
        entry = offset_index.last()
        start = entry[1] if entry else 0
        self._unindexed_bytes = self.size - start
        self._max_timestamp, self._max_timestamp_offset = time_index.last() or (-1, self.base_offset)
        for _, header in scan_headers(self.file(), start, self.size):
            if header.max_timestamp > self._max_timestamp:
                self._max_timestamp, self._max_timestamp_offset = header.max_timestamp, header.last_offset
        first = next(scan_headers(self.file(), 0, self.size), None)
        self.first_timestamp = first[1].max_timestamp if first else -1

    def _find_from(self, entry: tuple[int, int] | None, offset: int) -> tuple[int, BatchHeader] | None:
        for position, header in scan_headers(self.file(), entry[1] if entry else 0, self.size):
            if entry is not None and position == entry[1] and header.last_offset != entry[0]:
                raise CorruptBatch(f"the index expects last offset {entry[0]}, got {header.last_offset}", position)
            if header.last_offset >= offset:
                return position, header
        return None

    def _cut_torn_write(self, file: OpenFile) -> None:
        try:
            file.truncate(self.size)
        except OSError as error:
            raise StorageError(self.path, error) from error
        self._torn = False
        self._cut_unsynced = True

    def _damaged(self, error: CorruptBatch) -> StorageError:
        return StorageError(self.path, f"{error}; the disk changed what was written, restore this file from a copy")
