"""Flushing: when it is due, what it covers, what a failed fsync means."""

import errno
from pathlib import Path
from threading import Thread

import pytest

from broker.storage.errors import StorageError
from tests.broker.storage.bench import LogBench


def test_flush_before_ack_holds_the_high_watermark_until_the_fsync(tmp_path: Path) -> None:
    """Nobody reads what could still be lost; one fsync covers every append before it began, and none after."""
    bench = LogBench(tmp_path, flush_before_ack=True)
    bench.append()
    bench.append()
    assert bench.log.needs_flush
    assert bench.log.read(0, 1000) is None
    pending = bench.log.flush_begin()
    bench.append()
    worker = Thread(target=pending.run)
    worker.start()
    worker.join()
    assert bench.log.high_watermark == 0
    bench.log.flush_complete(pending)
    assert (bench.log.high_watermark, bench.log.recovery_point, bench.log.next_offset) == (2, 2, 3)
    assert len(bench.values()) == 2
    assert bench.log.needs_flush
    bench.log.flush()
    assert not bench.log.needs_flush
    assert len(bench.values()) == 3


def test_what_was_not_flushed_is_not_read_after_a_crash_before_it_is_synced(tmp_path: Path) -> None:
    """Opening a flush.before.ack log syncs the tail that a kill left, then shows it."""
    bench = LogBench(tmp_path, flush_before_ack=True)
    bench.append()
    log = bench.kill()
    assert (log.high_watermark, log.recovery_point) == (1, 1)
    bench.log.close(clean=False)
    bench.files.power_loss(bench.directory)
    assert bench.open(clean=False).next_offset == 1


def test_flush_messages_and_flush_ms_say_when(bench: LogBench) -> None:
    """By count, or by the age of the oldest batch that is not synced."""
    bench.configure(flush_messages=3, flush_ms=1000)
    assert bench.log.flush_deadline() is None
    bench.append(b"a", b"b")
    assert not bench.log.needs_flush
    bench.clock.advance_ms(999)
    bench.append()
    assert bench.log.needs_flush
    bench.log.flush()
    bench.append()
    deadline = bench.log.flush_deadline()
    assert deadline == bench.clock.monotonic() + 1
    bench.clock.advance_ms(1000)
    assert bench.log.needs_flush


def test_by_default_nothing_asks_for_an_fsync(bench: LogBench) -> None:
    """Kafka's page-cache durability: the operating system writes back when it likes."""
    bench.append()
    bench.clock.advance_ms(10**9)
    assert not bench.log.needs_flush
    assert bench.log.high_watermark == 1


def test_after_a_failed_fsync_the_log_takes_no_appends_and_reads_go_on(bench: LogBench) -> None:
    """Nobody knows what the disk has: offline until it is opened again, then all that is valid is there."""
    bench.append(b"a")
    bench.files.sync_error = errno.EIO
    with pytest.raises(StorageError, match="fsync failed"):
        bench.log.flush()
    with pytest.raises(StorageError, match="until the broker starts again"):
        bench.append(b"b")
    assert bench.values() == [b"a"]
    with pytest.raises(StorageError):
        bench.log.close(clean=True)
    bench.files.sync_error = None
    bench.open(clean=False)
    assert bench.append(b"b").base_offset == 1


def test_a_flush_covers_every_segment_since_the_last_one(tmp_path: Path) -> None:
    """Ten segments rolled in between, all of them, their indexes and their names, survive a loss of power."""
    bench = LogBench(tmp_path, segment_bytes=250, index_interval_bytes=1)
    for n in range(10):
        bench.append(b"x" * 100 + b"%d" % n)
    bench.log.flush()
    values = bench.values()
    assert bench.log.recovery_point == 10
    bench.log.close(clean=False)
    bench.files.power_loss(bench.directory)
    bench.open(clean=False, recovery_point=10)
    assert bench.values() == values
    assert bench.log.recovered.batches == 1


def test_a_flush_that_was_begun_before_a_truncation_moves_nothing(bench: LogBench) -> None:
    """Its offsets mean other batches now."""
    bench.append()
    bench.append()
    pending = bench.log.flush_begin()
    bench.log.truncate_to(0)
    bench.append()
    bench.append()
    pending.run()
    bench.log.flush_complete(pending)
    assert bench.log.recovery_point == 0


def test_a_segment_that_is_deleted_while_it_is_synced_is_no_error(bench: LogBench) -> None:
    """The pending flush holds its file open."""
    bench.append()
    bench.log.roll()
    pending = bench.log.flush_begin()
    bench.log.delete_records(1)
    for deleted in bench.log.apply_retention():
        deleted.remove()
    pending.run()
    bench.log.flush_complete(pending)
    assert bench.log.recovery_point == 1
