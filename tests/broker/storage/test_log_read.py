"""Reading a partition log: places of whole batches, by offset, by size, by time."""

import os
from pathlib import Path

import pytest

from broker.errors import ErrorCode
from broker.records import Compression, NewRecord, TimestampType, build_batch, iterate_batches
from broker.storage import TimestampOffset
from broker.storage.errors import OffsetOutOfRange
from tests.broker.storage.bench import NOW, LogBench, resealed


def first_offsets(data: bytes) -> list[int]:
    """The base offsets of the batches in *data*."""
    return [batch.header.base_offset for batch in iterate_batches(data)]


def test_a_read_in_the_middle_of_a_batch_gives_the_whole_batch(bench: LogBench) -> None:
    """Every offset finds the batch that holds it, across index entries and segments."""
    bench.configure(segment_bytes=20_000, index_interval_bytes=500)
    starts = [bench.append(*(b"v" * 200 for _ in range(1 + n % 7))).base_offset for n in range(200)]
    assert len(bench.file_names(".log")) > 5
    for offset in range(bench.log.next_offset):
        expected = max(start for start in starts if start <= offset)
        assert first_offsets(bench.read_bytes(offset, 1)) == [expected]


@pytest.mark.parametrize("max_bytes", [0, 1, 100, 300, 301, 5000])
def test_a_read_gives_as_many_whole_batches_as_fit_and_one_at_least(bench: LogBench, max_bytes: int) -> None:
    """KIP-74: the first comes even when it is larger than asked; nothing is ever cut within a batch."""
    size = len(build_batch([NewRecord(b"key", b"x" * 30)], timestamp=NOW))
    for _ in range(30):
        bench.append(b"x" * 30)
    data = bench.read_bytes(3, max_bytes)
    assert first_offsets(data) == list(range(3, 3 + max(1, min(max_bytes // size, 27))))


def test_without_the_first_batchs_privilege_a_large_batch_gives_nothing(bench: LogBench) -> None:
    """A fetch whose limit is used up by other partitions gets None."""
    bench.append(b"x" * 500)
    assert bench.log.read(0, 100, at_least_one_batch=False) is None
    assert bench.log.read(0, 10_000, at_least_one_batch=False) is not None


def test_a_read_stops_at_the_offset_it_may_go_up_to(bench: LogBench) -> None:
    """Batches at and behind *up_to* stay out; at *up_to* itself there is nothing."""
    for _ in range(10):
        bench.append(b"a", b"b")
    assert first_offsets(bench.read_bytes(4, up_to=10)) == [4, 6, 8]
    assert bench.log.read(10, 1000, up_to=10) is None
    assert bench.log.bytes_between(4, up_to=10) == len(bench.read_bytes(4, up_to=10))


def test_a_tailing_reader_is_given_what_comes_after_it(bench: LogBench) -> None:
    """Nothing at the end; then exactly the new batch, also when it went to a new segment."""
    bench.append(b"a")
    assert bench.log.read(1, 1000) is None
    bench.append(b"b")
    assert first_offsets(bench.read_bytes(1)) == [1]
    assert bench.log.read(2, 1000) is None
    bench.log.roll()
    bench.append(b"c")
    assert first_offsets(bench.read_bytes(2)) == [2]


@pytest.mark.parametrize("offset", [-1, 3, 100])
def test_offsets_outside_the_log_are_out_of_range(bench: LogBench, offset: int) -> None:
    """Below the log start and above the next offset, with the range in the text."""
    bench.append(b"a", b"b")
    with pytest.raises(OffsetOutOfRange, match=f"offset {offset}, the log has 0 to 2") as refused:
        bench.log.read(offset, 1000)
    assert refused.value.code is ErrorCode.OFFSET_OUT_OF_RANGE


def test_bytes_between_counts_across_segments(bench: LogBench) -> None:
    """What a parked fetch waits for: all bytes from its batch to the end."""
    bench.configure(segment_bytes=1000)
    for _ in range(20):
        bench.append(b"x" * 100)
    sizes = [len(bench.read_bytes(offset, 1)) for offset in range(20)]
    assert [bench.log.bytes_between(offset) for offset in range(21)] == [sum(sizes[n:]) for n in range(21)]


def test_a_slice_keeps_its_file_when_the_segment_is_deleted(bench: LogBench) -> None:
    """A queued read sends its own bytes, whatever is opened meanwhile; its descriptor closes when it lets go."""
    bench.append(b"a" * 100)
    expected = bench.read_bytes(0)
    place = bench.log.read(0, 1000)
    assert place is not None
    descriptor = place.fileno()
    bench.log.roll()
    bench.log.delete_records(1)
    for deleted in bench.log.apply_retention():
        deleted.remove()
    bench.append(b"b" * 100)
    bench.log.roll()
    assert os.pread(place.fileno(), place.size, place.position) == expected
    bench.log.close(clean=True)
    assert place.read() == expected
    place.release()
    place.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_only_a_few_sealed_segments_stay_open(bench: LogBench) -> None:
    """Reading through a hundred segments leaves a handful of descriptors."""
    bench.configure(segment_bytes=150)
    for _ in range(100):
        bench.append(b"x" * 30)
    before = len(list(Path("/dev/fd").iterdir()))
    assert len(bench.values()) == 100
    assert len(list(Path("/dev/fd").iterdir())) <= before + 5


def test_time_finds_the_first_record_at_or_after_it(tmp_path: Path) -> None:
    """For every timestamp the answer is what a scan gives, also when time goes back between batches."""
    bench = LogBench(tmp_path, segment_bytes=5000, index_interval_bytes=300)
    for n in range(100):
        times = [NOW + 10 * n + (n % 3) * 15 - i for i in range(4)]
        records = [NewRecord(b"k", b"v" * 50, time) for time in times]
        compression = Compression.GZIP if n % 2 else Compression.NONE
        bench.append_batch(build_batch(records, timestamp=NOW, compression=compression))
    assert len(bench.file_names(".log")) > 3
    for restarted in (False, True):
        if restarted:
            bench.restart()
        records = bench.records()
        for timestamp in range(NOW - 5, NOW + 1040):
            expected = next((r for r in records if r.timestamp >= timestamp), None)
            found = bench.log.offset_for_timestamp(timestamp)
            assert (found and found[:2]) == (expected and (expected.offset, expected.timestamp))


def test_the_max_timestamp_is_that_of_the_first_record_that_has_it(bench: LogBench) -> None:
    """Not of the last record, and not of the last batch."""
    assert bench.log.offset_of_max_timestamp() is None
    bench.append(b"a", timestamp=NOW)
    bench.append(b"b", b"c", timestamp=NOW + 9, leader_epoch=2)
    bench.append(b"d", timestamp=NOW + 5, leader_epoch=2)
    assert bench.log.offset_of_max_timestamp() == TimestampOffset(1, NOW + 9, 2)


def test_log_append_time_is_what_look_ups_by_time_see(bench: LogBench) -> None:
    """With LogAppendTime the producer's timestamps play no part."""
    bench.configure(message_timestamp_type=TimestampType.LOG_APPEND_TIME)
    bench.append(b"a", timestamp=5)
    bench.clock.advance_ms(100)
    bench.append(b"b", timestamp=1)
    assert bench.log.offset_for_timestamp(NOW + 1) == TimestampOffset(1, NOW + 100, 0)


def test_a_compressed_batch_that_cannot_be_opened_is_answered_with_its_first_offset(bench: LogBench) -> None:
    """A look-up by time never skips records for want of a codec."""
    bench.append(b"old", timestamp=NOW - 100)
    batch = build_batch([NewRecord(b"k", b"v", NOW), NewRecord(b"k", b"w", NOW + 10)], timestamp=NOW)
    bench.append_batch(resealed(batch, attributes=4))
    found = bench.log.offset_for_timestamp(NOW + 10)
    assert found is not None
    assert found.offset == 1
