"""A recovery that takes long says how far it is, and takes no more memory than a short one."""

import logging
import tracemalloc
from itertools import pairwise
from pathlib import Path

import pytest

from broker.clock import ManualClock
from broker.storage import LogConfig, OpeningProgress, PartitionLog
from broker.storage.files import OpenFile
from tests.broker.handlers.conftest import InProcessBroker, batch
from tests.broker.handlers.test_produce_and_fetch import produce
from tests.broker.storage.bench import LogBench
from tests.broker.storage.faulty_files import FaultyFile, FaultyFileSystem

MEGABYTE = 1 << 20


class SlowFileSystem(FaultyFileSystem):
    """A read of a .log file takes `read_ms` of the clock."""

    def __init__(self, clock: ManualClock, read_ms: int = 400) -> None:
        super().__init__()
        self.clock = clock
        self.read_ms = read_ms

    def open(self, path: Path, *, create: bool = False) -> OpenFile:
        file = super().open(path, create=create)
        return _SlowFile(file, self) if path.suffix == ".log" and path.name != "metadata.log" else file


class _SlowFile(FaultyFile):
    def __init__(self, file: OpenFile, slow: SlowFileSystem) -> None:
        assert isinstance(file, FaultyFile)
        super().__init__(slow, file._file, file._inode, file._path)
        self._slow = slow

    def read_at(self, position: int, size: int) -> bytes:
        self._slow.clock.advance_ms(self._slow.read_ms)
        return super().read_at(position, size)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, str]]:
    """The progress lines, as key=value."""
    found = [record.getMessage() for record in caplog.records if record.getMessage().startswith("recovering ")]
    return [dict(pair.split("=") for pair in line.split()[1:]) for line in found]


def test_a_long_recovery_says_once_a_second_how_far_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Bytes read and to be read of the partition, behind its recovery point only."""
    caplog.set_level(logging.INFO)
    bench = LogBench(tmp_path, max_message_bytes=2 * MEGABYTE)
    bench.append(b"x" * MEGABYTE)
    bench.log.roll()
    bench.log.flush()
    sealed = bench.log.size
    for _ in range(10):
        bench.append(b"x" * MEGABYTE)
    size = bench.log.size - sealed
    recovery_point = bench.log.recovery_point
    bench.log.close(clean=False)
    files = SlowFileSystem(bench.clock)
    log = PartitionLog.open(
        bench.directory,
        files=files,
        clock=bench.clock,
        config=bench.config,
        clean=False,
        recovery_point=recovery_point,
        progress=OpeningProgress(bench.clock, 1),
    )
    assert log.recovered.bytes_read == size
    found = lines(caplog)
    assert 3 <= len(found) <= 12
    assert {each["partition"] for each in found} == {"orders-0"}
    assert {each["bytes"] for each in found} == {str(size)}
    read = [int(each["bytes_read"]) for each in found]
    assert read == sorted(set(read))
    assert 0 < read[0] < read[-1] <= size
    seconds = [float(each["seconds"]) for each in found]
    assert all(later - earlier >= 1 for earlier, later in pairwise(seconds))


def test_a_start_with_many_partitions_counts_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each of them is quick, all together are not."""
    caplog.set_level(logging.INFO)
    broker = InProcessBroker(tmp_path)
    broker.state.catalog.create("t", 20, {})
    for partition in range(20):
        produce(broker, "t", batch(b"v"), partition=partition)
    broker.state.catalog.close(clean=False)
    broker.directory.close(clean=False)
    caplog.clear()
    clock = ManualClock()
    again = InProcessBroker(tmp_path, files=SlowFileSystem(clock, read_ms=60), clock=clock)
    found = lines(caplog)
    assert found
    assert {each["partitions"] for each in found} == {"20"}
    opened = [int(each["partitions_open"]) for each in found]
    assert opened == sorted(opened)
    assert 0 < opened[-1] <= 20
    again.close()


def test_a_short_recovery_says_nothing(bench: LogBench, caplog: pytest.LogCaptureFixture) -> None:
    """Most starts."""
    caplog.set_level(logging.INFO)
    for _ in range(100):
        bench.append(b"x" * 1000)
    bench.kill(recovery_point=0)
    assert lines(caplog) == []


@pytest.mark.parametrize("batch_bytes", [1000, MEGABYTE])
def test_a_recovery_takes_a_few_megabytes_whatever_the_log_has(tmp_path: Path, batch_bytes: int) -> None:
    """The log is read in pieces; the indexes are all that grows, by eight bytes for every four kilobytes."""
    bench = LogBench(tmp_path, max_message_bytes=2 * MEGABYTE)
    for _ in range(32 * MEGABYTE // batch_bytes):
        bench.append(b"x" * batch_bytes)
    bench.log.close(clean=False)
    tracemalloc.start()
    try:
        log = PartitionLog.open(
            bench.directory, files=bench.files, clock=bench.clock, config=LogConfig(), clean=False, recovery_point=0
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert log.recovered.bytes_read > 32 * MEGABYTE
    assert peak < 6 * MEGABYTE
    log.close(clean=False)
