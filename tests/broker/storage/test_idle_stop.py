"""A clean stop costs what was written since the start, not what is there: told by a disk that refuses every fsync."""

import errno
from pathlib import Path

import pytest

from broker.clock import ManualClock
from broker.records import NewRecord, build_batch
from broker.storage import LogConfig, PartitionLog
from broker.storage.errors import StorageError
from tests.broker.storage.faulty_files import FaultyFileSystem


def open_log(directory: Path, files: FaultyFileSystem, *, clean: bool) -> PartitionLog:
    return PartitionLog.open(directory, files=files, clock=ManualClock(), config=LogConfig(), clean=clean)


def append(log: PartitionLog) -> None:
    log.append(memoryview(build_batch([NewRecord(b"k", b"v")], timestamp=1)), leader_epoch=0)


def stop_without_fsync(log: PartitionLog, files: FaultyFileSystem) -> None:
    files.sync_error = errno.EIO
    try:
        log.close(clean=True)
    finally:
        files.sync_error = None


def test_an_empty_log_stops_without_an_fsync(tmp_path: Path) -> None:
    """A thousand partitions that nobody uses cost nothing at the stop."""
    files = FaultyFileSystem()
    stop_without_fsync(open_log(tmp_path / "t-0", files, clean=False), files)


def test_a_log_that_nobody_has_written_to_stops_without_an_fsync(tmp_path: Path) -> None:
    """What the last clean stop saved still holds; one record more, and it has to be saved."""
    files = FaultyFileSystem()
    log = open_log(tmp_path / "t-0", files, clean=False)
    append(log)
    log.close(clean=True)
    untouched = open_log(tmp_path / "t-0", files, clean=True)
    assert untouched.next_offset == 1
    stop_without_fsync(untouched, files)
    written = open_log(tmp_path / "t-0", files, clean=True)
    append(written)
    with pytest.raises(StorageError):
        stop_without_fsync(written, files)


def test_a_log_that_was_recovered_is_saved_at_the_stop(tmp_path: Path) -> None:
    """A crash left it without indexes on the disk."""
    files = FaultyFileSystem()
    log = open_log(tmp_path / "t-0", files, clean=False)
    append(log)
    log.close(clean=False)
    recovered = open_log(tmp_path / "t-0", files, clean=False)
    assert recovered.next_offset == 1
    with pytest.raises(StorageError):
        stop_without_fsync(recovered, files)
