"""What a log does when the disk is full, read-only or broken, and what is said about it."""

import errno
import logging
from pathlib import Path

import pytest

from broker.clock import ManualClock
from broker.records import NewRecord, build_batch
from broker.storage import DiskHealth, LogConfig, PartitionLog
from broker.storage.errors import StorageError
from tests.broker.storage.bench import NOW, LogBench
from tests.broker.storage.faulty_files import FaultyFileSystem


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "broker.storage"]


def open_log(directory: Path, files: FaultyFileSystem, disk: DiskHealth) -> PartitionLog:
    return PartitionLog.open(directory, files=files, clock=ManualClock(NOW), config=LogConfig(), clean=True, disk=disk)


def append(log: PartitionLog, value: bytes) -> int:
    batch = build_batch([NewRecord(b"k", value)], timestamp=NOW)
    return log.append(memoryview(batch), leader_epoch=0).base_offset


def test_a_full_disk_is_one_line_when_it_begins_and_one_when_it_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """However many logs and producers meet it; the second line counts what was refused."""
    caplog.set_level(logging.INFO)
    files, disk = FaultyFileSystem(), DiskHealth()
    logs = [open_log(tmp_path / f"t-{n}", files, disk) for n in range(3)]
    files.room = 300
    for _ in range(4):
        for log in logs:
            with pytest.raises(StorageError, match="No space left"):
                append(log, b"x" * 500)
    # A small one still fits: that is no news.
    files.room = 100
    assert append(logs[0], b"y") == 0
    assert disk.refuses is not None
    files.room = None
    assert [append(log, b"x" * 500) for log in logs] == [1, 0, 0]
    assert disk.refuses is None
    begin, end = lines(caplog)
    assert "disk is full" in begin
    assert str(tmp_path) in begin
    assert "No space left on device" in begin
    assert end == "disk takes writes again refused=12"


def test_a_file_system_that_becomes_read_only_refuses_and_damages_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Appends and rolls are refused with its words, reads go on, and it goes on by itself when it is writable again."""
    bench = LogBench(tmp_path, segment_bytes=300)
    for n in range(5):
        bench.append(b"%d" % n * 50)
    before = {path.name: path.read_bytes() for path in bench.directory.iterdir()}
    values = bench.values()
    bench.files.read_only = True
    for _ in range(3):
        with pytest.raises(StorageError, match="Read-only file system"):
            bench.append(b"x" * 50)
        with pytest.raises(StorageError, match="Read-only file system"):
            bench.log.roll()
    assert {path.name: path.read_bytes() for path in bench.directory.iterdir()} == before
    assert bench.values() == values
    bench.files.read_only = False
    assert bench.append(b"after").base_offset == 5
    assert bench.restart().next_offset == 6
    assert ["disk is read-only" in line for line in lines(caplog)] == [True, False]


@pytest.mark.parametrize("fault", ["write", "sync", "read"])
def test_an_input_output_error_takes_its_log_offline_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    """No appends until it is opened again, with the error in the words; what can be read is read; one line says so."""
    files, disk = FaultyFileSystem(), DiskHealth()
    broken, sound = (open_log(tmp_path / name, files, disk) for name in ("t-0", "t-1"))
    append(broken, b"a")
    files.only_below = tmp_path / "t-0"
    with pytest.raises(StorageError, match="Input/output error"):
        match fault:
            case "write":
                files.room, files.write_error = 0, errno.EIO
                append(broken, b"b")
            case "sync":
                files.sync_error = errno.EIO
                broken.flush()
            case _:
                files.read_error = errno.EIO
                list(broken.batches(0))
    files.room = files.sync_error = files.read_error = None
    for _ in range(3):
        with pytest.raises(StorageError, match=r"t-0.*Input/output error.*until the broker starts again"):
            append(broken, b"c")
    assert broken.offline is not None
    assert [batch.header.base_offset for batch in broken.batches(0)] == [0]
    assert append(sound, b"a") == 0
    assert sound.offline is None
    offline = [line for line in lines(caplog) if "partition is offline" in line]
    assert len(offline) == 1
    assert str(tmp_path / "t-0") in offline[0]
    with pytest.raises(StorageError):
        broken.close(clean=True)
    again = open_log(tmp_path / "t-0", files, disk)
    assert append(again, b"c") == 1


def test_a_flush_behind_one_that_failed_acknowledges_nothing(tmp_path: Path) -> None:
    """The kernel tells a failed fsync once: the next succeeds, and the bytes of the first may be gone."""
    bench = LogBench(tmp_path, flush_before_ack=True)
    bench.append(b"a")
    failing = bench.log.flush_begin()
    bench.append(b"b")
    behind = bench.log.flush_begin()
    bench.files.sync_error = errno.EIO
    failing.run()
    bench.files.sync_error = None
    behind.run()
    for pending in (failing, behind):
        with pytest.raises(StorageError, match="an fsync failed"):
            bench.log.flush_complete(pending)
    with pytest.raises(StorageError, match="an fsync failed"):
        bench.log.flush_begin()
    assert (bench.log.high_watermark, bench.log.recovery_point) == (0, 0)


def test_running_out_of_descriptors_takes_nothing_offline(bench: LogBench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the process's shortage, not the disk's: refused now, and served when there are some again."""
    bench.append(b"a")
    bench.log.roll()
    bench.append(b"b")
    first = next(iter(bench.log._segments))
    first.rest()

    def no_more(path: Path, *, create: bool = False) -> None:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(bench.files, "open", no_more)
        with pytest.raises(StorageError, match="Too many open files"):
            bench.log.read(0, 1000)
    assert bench.log.offline is None
    assert bench.values() == [b"a", b"b"]
    assert bench.append(b"c").base_offset == 2
