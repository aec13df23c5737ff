"""When a log rolls, and the bytes of its indexes."""

from pathlib import Path

from broker.records import NewRecord, build_batch
from tests.broker.storage.bench import NOW, LogBench

HOUR_MS = 3_600_000


def test_a_segment_rolls_before_it_would_be_larger_than_segment_bytes(tmp_path: Path) -> None:
    """Files are named after their first offset and none is larger than the limit."""
    size = len(build_batch([NewRecord(b"key", b"x" * 100)], timestamp=NOW))
    bench = LogBench(tmp_path, segment_bytes=3 * size)
    for _ in range(7):
        bench.append(b"x" * 100)
    assert bench.file_names(".log") == [f"{n:020d}.log" for n in (0, 3, 6)]
    assert [path.stat().st_size for path in sorted(bench.directory.glob("*.log"))] == [3 * size, 3 * size, size]


def test_a_segment_rolls_when_its_first_record_is_older_than_segment_ms(tmp_path: Path) -> None:
    """By the records' timestamps, also after a restart."""
    bench = LogBench(tmp_path, segment_ms=HOUR_MS)
    bench.append()
    bench.clock.advance_ms(HOUR_MS)
    bench.append()
    bench.restart()
    bench.clock.advance_ms(1)
    bench.append()
    assert bench.file_names(".log") == [f"{n:020d}.log" for n in (0, 2)]


def test_records_without_timestamps_roll_by_the_clock(tmp_path: Path) -> None:
    """segment.ms counts from the moment at which the segment began, or at which the log was opened."""
    bench = LogBench(tmp_path, segment_ms=HOUR_MS)
    for step in (0, HOUR_MS, 1, HOUR_MS, 1):
        bench.clock.advance_ms(step)
        bench.append(timestamp=-1)
    assert bench.file_names(".log") == [f"{n:020d}.log" for n in (0, 2, 4)]


def test_logs_that_began_together_roll_apart_with_segment_jitter_ms(tmp_path: Path) -> None:
    """Each segment's time is segment.ms less a share of the jitter of its own, and over at segment.ms at the latest."""
    benches = [
        LogBench(tmp_path / str(number), segment_ms=HOUR_MS, segment_jitter_ms=HOUR_MS // 2) for number in range(30)
    ]
    rolled: list[int] = []
    for _ in range(31):
        for bench in benches:
            bench.append()
            bench.clock.advance_ms(HOUR_MS // 30 + 1)
        rolled.append(sum(len(bench.file_names(".log")) > 1 for bench in benches))
    assert rolled[14] == 0
    assert len(set(rolled[15:])) > 3
    assert rolled[-1] == len(benches)


def test_a_segment_rolls_when_an_index_is_full(tmp_path: Path) -> None:
    """segment.index.bytes bounds the entries of either index."""
    bench = LogBench(tmp_path, index_interval_bytes=1, segment_index_bytes=10 * 8)
    for n in range(40):
        bench.append(timestamp=NOW)
        assert bench.log.next_offset == n + 1
    bench.log.close(clean=True)
    assert max(path.stat().st_size for path in bench.directory.glob("*.index")) == 10 * 8
    assert len(bench.file_names(".log")) == 4


def test_rolling_an_empty_segment_does_nothing(bench: LogBench) -> None:
    """There is never a second segment of the same base offset."""
    bench.log.roll()
    bench.append()
    bench.log.roll()
    bench.log.roll()
    assert bench.file_names(".log") == [f"{n:020d}.log" for n in (0, 1)]


def test_the_index_files_have_kafkas_entries(tmp_path: Path) -> None:
    """Offsets: last relative offset and position of a batch every interval; times: the largest so far, and the last."""
    bench = LogBench(tmp_path, index_interval_bytes=250)
    size = len(build_batch([NewRecord(b"key", b"x" * 100)] * 2, timestamp=NOW))
    assert 250 < size < 500
    for n in range(4):
        bench.append(b"x" * 100, b"x" * 100, timestamp=NOW + n)
    bench.log.close(clean=True)
    expected = b"".join((2 * n + 1).to_bytes(4, "big") + (n * size).to_bytes(4, "big") for n in (1, 2, 3))
    assert (bench.directory / "00000000000000000000.index").read_bytes() == expected
    times = b"".join((NOW + n).to_bytes(8, "big") + (2 * n + 1).to_bytes(4, "big") for n in (1, 2, 3))
    assert (bench.directory / "00000000000000000000.timeindex").read_bytes() == times
