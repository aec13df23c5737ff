"""A compacted log that is filled with keys, compacted, crashed at any file operation, and asked for what it has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from broker.records import NewRecord, Record, build_batch
from broker.storage import Appended
from broker.storage.compaction import CompactionReport
from broker.storage.files import Bytes, OpenFile
from tests.broker.storage.bench import LogBench
from tests.broker.storage.faulty_files import FaultyFile, FaultyFileSystem

MAP_BYTES = 1 << 20


class Crash(BaseException):
    """The process ends here: no except clause of the code under test may hold it up."""


class CrashingFileSystem(FaultyFileSystem):
    """Counts what changes the disk, and crashes before the operation that `operations_left` forbids."""

    def __init__(self) -> None:
        super().__init__()
        self.operations_left: int | None = None

    def spend(self) -> None:
        if self.operations_left is None:
            return
        if self.operations_left == 0:
            raise Crash
        self.operations_left -= 1

    def open(self, path: Path, *, create: bool = False) -> OpenFile:
        if create:
            self.spend()
        return _CrashingFile(self, super().open(path, create=create))

    def rename(self, source: Path, target: Path) -> None:
        self.spend()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self.spend()
        super().remove(path)

    def sync_directory(self, path: Path) -> None:
        self.spend()
        super().sync_directory(path)


class _CrashingFile(FaultyFile):
    def __init__(self, system: CrashingFileSystem, file: OpenFile) -> None:
        assert isinstance(file, FaultyFile)
        super().__init__(system, file._file, file._inode, file._path)
        self._crashing = system

    def write_at(self, position: int, data: Bytes) -> None:
        self._crashing.spend()
        super().write_at(position, data)

    def truncate(self, size: int) -> None:
        self._crashing.spend()
        super().truncate(size)

    def sync(self) -> None:
        self._crashing.spend()
        super().sync()


def compacted_bench(path: Path, files: FaultyFileSystem | None = None, **config: Any) -> LogBench:
    """An empty log with cleanup.policy=compact that is due as soon as it is dirty at all."""
    defaults: dict[str, Any] = {"compacts": True, "deletes": False, "min_cleanable_dirty_ratio": 0.0}
    return LogBench(path, files, **{**defaults, **config})


def put(bench: LogBench, *pairs: tuple[bytes, bytes | None], timestamp: int | None = None, **batch: Any) -> Appended:
    """One batch of (key, value); a value of None is a tombstone."""
    now = bench.clock.now_ms() if timestamp is None else timestamp
    records = [NewRecord(key, value) for key, value in pairs]
    return bench.append_batch(build_batch(records, timestamp=now, **batch))


def seal(bench: LogBench) -> None:
    """Rolls and syncs, so that everything may be compacted."""
    bench.log.roll()
    bench.log.flush()


def compact(
    bench: LogBench, *, map_bytes_max: int = MAP_BYTES, between: Callable[[], None] | None = None
) -> CompactionReport | None:
    """One pass, if one is due; *between* is called after every run()."""
    compaction = bench.log.compaction_begin(map_bytes_max=map_bytes_max)
    if compaction is None:
        return None
    more = True
    while more:
        compaction.run()
        if between is not None:
            between()
        more = bench.log.compaction_advance(compaction)
    return compaction.report()


def newest(records: list[Record]) -> dict[bytes, bytes]:
    """What a table that is built from *records* has."""
    table: dict[bytes, bytes] = {}
    for record in records:
        assert record.key is not None
        if record.value is None:
            table.pop(record.key, None)
        else:
            table[record.key] = record.value
    return table
