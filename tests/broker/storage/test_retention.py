"""Retention, deletion and truncation: what goes, and that nothing else does."""

import errno
from pathlib import Path

import pytest

from broker.storage.errors import OffsetOutOfRange, StorageError
from tests.broker.storage.bench import NOW, LogBench

HOUR_MS = 3_600_000


def hourly(path: Path, **config: int | bool) -> LogBench:
    """Ten segments of one batch, an hour apart; the clock stands at the last one."""
    bench = LogBench(path, segment_bytes=250, **config)
    for n in range(10):
        bench.append(b"x" * 100 + b"%d" % n)
        if n < 9:
            bench.clock.advance_ms(HOUR_MS)
    assert len(bench.file_names(".log")) == 10
    return bench


def test_segments_older_than_retention_ms_go_and_the_log_start_moves(tmp_path: Path) -> None:
    """By the largest timestamp of each segment; the files are renamed first and removed by whoever calls remove()."""
    bench = hourly(tmp_path, retention_ms=3 * HOUR_MS)
    deleted = bench.log.apply_retention()
    assert len(deleted) == 6
    assert (bench.log.log_start_offset, bench.log.next_offset) == (6, 10)
    assert len(bench.file_names(".log.deleted")) == 6
    assert len(bench.values()) == 4
    with pytest.raises(OffsetOutOfRange, match="offset 5, the log has 6 to 10"):
        bench.log.read(5, 1000)
    for segment in deleted:
        segment.remove()
        segment.remove()
    assert bench.file_names(".deleted") == []
    assert len(bench.file_names(".index")) == 3
    assert bench.restart().log_start_offset == 6


def test_the_active_segment_goes_too_when_all_of_it_has_expired(tmp_path: Path) -> None:
    """An idle topic becomes empty; the next offset stays, and no offset is given twice."""
    bench = hourly(tmp_path, retention_ms=3 * HOUR_MS)
    bench.clock.advance_ms(4 * HOUR_MS)
    bench.log.apply_retention()
    assert (bench.log.log_start_offset, bench.log.next_offset, bench.log.size) == (10, 10, 0)
    assert bench.log.apply_retention() == []
    bench.kill()
    assert bench.append().base_offset == 10


def test_retention_ms_of_minus_one_keeps_everything(tmp_path: Path) -> None:
    """For ever."""
    bench = hourly(tmp_path, retention_ms=-1)
    bench.clock.advance_ms(10**12)
    assert bench.log.apply_retention() == []


def test_size_retention_keeps_at_least_retention_bytes(tmp_path: Path) -> None:
    """Whole segments go as long as what is left still has so many bytes; never the active one."""
    bench = hourly(tmp_path, retention_ms=-1)
    size = bench.log.size // 10
    bench.configure(retention_bytes=3 * size + 1)
    assert len(bench.log.apply_retention()) == 6
    assert bench.log.size == 4 * size
    bench.configure(retention_bytes=0)
    bench.log.apply_retention()
    assert bench.log.size == size


def test_without_the_delete_policy_only_deleted_records_go(tmp_path: Path) -> None:
    """A compacted topic keeps old segments, but not those below its log start."""
    bench = hourly(tmp_path, retention_ms=1, deletes=False, compacts=True)
    assert bench.log.apply_retention() == []
    assert bench.log.delete_records(4) == 4
    assert len(bench.log.apply_retention()) == 4


def test_records_without_timestamps_expire_by_the_file(tmp_path: Path) -> None:
    """Timestamp -1 counts as when the file was written last."""
    bench = LogBench(tmp_path, retention_ms=HOUR_MS)
    bench.append(timestamp=-1)
    bench.clock.set_wall_ms(bench.files.modified_ms(bench.directory / "00000000000000000000.log") + HOUR_MS)
    assert bench.log.apply_retention() == []
    bench.clock.advance_ms(1)
    assert len(bench.log.apply_retention()) == 1


def test_retention_stops_at_the_high_watermark(tmp_path: Path) -> None:
    """What is not synced yet, and so not readable, is not deleted."""
    bench = LogBench(tmp_path, retention_ms=1, flush_before_ack=True)
    bench.append()
    bench.clock.advance_ms(1000)
    assert bench.log.apply_retention() == []
    bench.log.flush()
    assert len(bench.log.apply_retention()) == 1


def test_delete_records_moves_the_log_start_within_a_segment(bench: LogBench) -> None:
    """-1 is the high watermark; beyond it is out of range; back does nothing."""
    for _ in range(5):
        bench.append(b"a", b"b")
    assert bench.log.delete_records(3) == 3
    assert [record.offset for record in bench.records()] == list(range(3, 10))
    assert bench.log.delete_records(1) == 3
    with pytest.raises(OffsetOutOfRange):
        bench.log.delete_records(11)
    assert bench.log.delete_records(-1) == 10


def test_a_rename_that_fails_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """StorageError, every record still there, and the next round succeeds."""
    bench = hourly(tmp_path, retention_ms=3 * HOUR_MS)

    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(bench.files, "rename", refuse)
        with pytest.raises(StorageError, match="Read-only"):
            bench.log.apply_retention()
    assert len(bench.values()) == 10
    assert len(bench.log.apply_retention()) == 6


@pytest.mark.parametrize("offset", range(11))
def test_truncation_keeps_exactly_the_batches_that_end_before_the_offset(bench: LogBench, offset: int) -> None:
    """At a batch's start, in its middle, at a segment's start; reads, appends and a restart agree with it."""
    bench.configure(segment_bytes=400)
    for n in range(5):
        bench.append(b"x" * 50, b"%d" % n)
    bench.log.flush()
    bench.log.truncate_to(offset)
    end = offset // 2 * 2
    assert (bench.log.next_offset, bench.log.high_watermark, bench.log.recovery_point) == (end, end, end)
    assert len(bench.values()) == end
    assert bench.append(b"new", timestamp=NOW + 1).base_offset == end
    bench.kill(recovery_point=0)
    assert bench.values()[-1] == b"new"
    assert len(bench.values()) == end + 1
    assert bench.log.offset_of_max_timestamp() == (end, NOW + 1, 0)
