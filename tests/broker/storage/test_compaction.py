"""Compaction, rule by rule."""

from pathlib import Path

import pytest

from broker.records import Compression, Marker, MarkerKind, NewRecord, build_batch, build_marker
from broker.storage import AppendOrigin
from broker.storage.errors import OutOfOrderSequence, StorageError
from tests.broker.storage.bench import LogBench
from tests.broker.storage.compacting import compact, compacted_bench, newest, put, seal

DAY_MS = 86_400_000


@pytest.fixture
def bench(tmp_path: Path) -> LogBench:
    return compacted_bench(tmp_path)


def pairs(bench: LogBench) -> list[tuple[int, bytes | None, bytes | None]]:
    return [(record.offset, record.key, record.value) for record in bench.records()]


def end(bench: LogBench, producer_id: int, kind: MarkerKind) -> None:
    marker = build_marker(Marker(kind, 0), timestamp=bench.clock.now_ms(), producer_id=producer_id, producer_epoch=0)
    bench.append_batch(marker, AppendOrigin.COORDINATOR)


def control_offsets(bench: LogBench) -> list[int]:
    return [batch.header.base_offset for batch in bench.log.batches(0) if batch.header.is_control]


def test_the_newest_record_of_every_key_stays_at_its_offset(bench: LogBench) -> None:
    put(bench, (b"a", b"1"), (b"b", b"1"))
    put(bench, (b"a", b"2"), (b"c", b"1"))
    put(bench, (b"b", b"2"))
    seal(bench)
    report = compact(bench)
    assert report is not None
    assert (report.clean_offset, report.records_dropped) == (5, 2)
    assert report.bytes_after < report.bytes_before
    assert pairs(bench) == [(2, b"a", b"2"), (3, b"c", b"1"), (4, b"b", b"2")]
    assert (bench.log.log_start_offset, bench.log.next_offset, bench.log.clean_offset) == (0, 5, 5)


def test_the_active_segment_is_never_touched(bench: LogBench) -> None:
    put(bench, (b"a", b"1"))
    seal(bench)
    put(bench, (b"a", b"2"))
    put(bench, (b"a", b"3"))
    bench.log.flush()
    compact(bench)
    assert pairs(bench) == [(0, b"a", b"1"), (1, b"a", b"2"), (2, b"a", b"3")]


def test_what_is_not_synced_replaces_nothing(bench: LogBench) -> None:
    """A loss of power would take both values of the key."""
    put(bench, (b"a", b"1"))
    seal(bench)
    put(bench, (b"a", b"2"))
    bench.log.roll()
    compact(bench)
    assert pairs(bench)[0] == (0, b"a", b"1")
    bench.log.flush()
    compact(bench)
    assert pairs(bench) == [(1, b"a", b"2")]


def test_batches_keep_their_first_and_last_offset_whatever_leaves_them(bench: LogBench) -> None:
    """So a reader's next offset, and a producer's last sequence, come out as before."""
    put(bench, (b"a", b"1"), (b"b", b"1"), (b"c", b"1"))
    put(bench, (b"a", b"2"), (b"c", b"2"))
    seal(bench)
    compact(bench)
    header = next(iter(bench.log.batches(0))).header
    assert (header.base_offset, header.last_offset, header.record_count) == (0, 2, 1)
    assert [record.offset for record in bench.records(0)] == [1, 3, 4]


@pytest.mark.parametrize("offset", range(8))
def test_any_offset_is_read_on_from_the_next_record_that_is_left(bench: LogBench, offset: int) -> None:
    for number in range(4):
        put(bench, (b"a", b"%d" % number), (b"b%d" % (number % 2), b"%d" % number))
        seal(bench)
    compact(bench)
    left = [5, 6, 7]
    assert [record.offset for record in bench.records() if record.offset >= offset] == [
        each for each in left if each >= offset
    ]
    assert [record.offset for record in bench.records(offset)] == [each for each in left if each >= offset]


def test_small_segments_are_merged_until_segment_bytes(bench: LogBench) -> None:
    for number in range(6):
        put(bench, (b"key-%d" % number, b"x" * 100))
        seal(bench)
    bench.configure(segment_bytes=2 * bench.log.size // 6 + 10)
    compact(bench)
    assert bench.file_names(".log") == [f"{offset:020d}.log" for offset in (0, 2, 4, 6)]
    assert not [path for path in bench.directory.iterdir() if path.name.endswith((".deleted", ".swap", ".cleaned"))]
    assert len(bench.records()) == 6
    bench.restart()
    assert len(bench.records()) == 6


def test_a_tombstone_stays_for_delete_retention_ms_and_then_goes(bench: LogBench) -> None:
    """The delete horizon stands in the batch from the first pass that meets it."""
    bench.configure(delete_retention_ms=DAY_MS)
    put(bench, (b"a", b"1"))
    put(bench, (b"a", None), (b"b", b"1"))
    seal(bench)
    compact(bench)
    assert pairs(bench) == [(1, b"a", None), (2, b"b", b"1")]
    header = next(iter(bench.log.batches(0))).header
    assert header.delete_horizon_ms == bench.clock.now_ms() + DAY_MS
    written_at = [record.timestamp for record in bench.records()]
    assert written_at == [bench.clock.now_ms()] * 2
    bench.clock.advance_ms(DAY_MS - 1)
    put(bench, (b"c", b"1"))
    seal(bench)
    compact(bench)
    assert (1, b"a", None) in pairs(bench)
    bench.clock.advance_ms(1)
    put(bench, (b"d", b"1"))
    seal(bench)
    compact(bench)
    assert pairs(bench) == [(2, b"b", b"1"), (3, b"c", b"1"), (4, b"d", b"1")]
    assert bench.records()[0].timestamp == written_at[0]


def test_a_tombstone_goes_when_the_key_has_a_new_value(bench: LogBench) -> None:
    put(bench, (b"a", None))
    put(bench, (b"a", b"back"))
    seal(bench)
    compact(bench)
    assert pairs(bench) == [(1, b"a", b"back")]


def test_records_without_a_key_from_before_the_policy_go(tmp_path: Path) -> None:
    bench = LogBench(tmp_path)
    bench.append(b"no key", key=None)
    bench.append(b"key", key=b"k")
    bench.configure(compacts=True, deletes=False, min_cleanable_dirty_ratio=0.0)
    seal(bench)
    compact(bench)
    assert pairs(bench) == [(1, b"k", b"key")]


@pytest.mark.parametrize("compression", list(Compression))
def test_compressed_batches_are_filtered_and_keep_their_codec(bench: LogBench, compression: Compression) -> None:
    put(bench, (b"a", b"1" * 50), (b"b", b"1" * 50), compression=compression)
    put(bench, (b"a", b"2" * 50), (b"c", None), compression=compression)
    seal(bench)
    compact(bench)
    assert newest(bench.records()) == {b"a": b"2" * 50, b"b": b"1" * 50}
    assert [batch.header.compression_code for batch in bench.log.batches(0)] == [compression, compression]
    assert [record.offset for record in bench.records()] == [1, 2, 3]


def test_nothing_is_rewritten_when_nothing_goes(bench: LogBench) -> None:
    put(bench, (b"a", b"1"))
    seal(bench)
    before = (bench.directory / bench.file_names(".log")[0]).stat().st_ino
    report = compact(bench)
    assert report is not None
    assert report.records_dropped == 0
    assert (bench.directory / bench.file_names(".log")[0]).stat().st_ino == before
    assert bench.log.clean_offset == 1


# ---- when


def test_a_log_is_due_when_it_is_dirty_enough(bench: LogBench) -> None:
    bench.configure(min_cleanable_dirty_ratio=0.5)
    put(bench, (b"a", b"x" * 100))
    seal(bench)
    assert compact(bench) is not None
    put(bench, (b"b", b"x" * 90))
    seal(bench)
    assert bench.log.dirt().ratio == pytest.approx(0.5, abs=0.1)
    assert compact(bench) is None
    put(bench, (b"c", b"x" * 30))
    seal(bench)
    assert compact(bench) is not None


def test_records_younger_than_min_compaction_lag_ms_are_left_alone(bench: LogBench) -> None:
    bench.configure(min_compaction_lag_ms=1000)
    put(bench, (b"a", b"1"))
    put(bench, (b"a", b"2"))
    seal(bench)
    bench.clock.advance_ms(999)
    assert compact(bench) is None
    bench.clock.advance_ms(1)
    assert compact(bench) is not None
    assert pairs(bench) == [(1, b"a", b"2")]


def test_records_older_than_max_compaction_lag_ms_are_compacted_however_clean_the_log_is(bench: LogBench) -> None:
    bench.configure(min_cleanable_dirty_ratio=1.0, max_compaction_lag_ms=1000)
    put(bench, (b"a", b"1"))
    put(bench, (b"a", b"2"))
    seal(bench)
    assert compact(bench) is None
    bench.clock.advance_ms(1001)
    assert compact(bench) is not None
    assert pairs(bench) == [(1, b"a", b"2")]


def test_a_map_that_is_full_makes_several_passes(bench: LogBench) -> None:
    """Each begins where the one before it had to stop."""
    for number in range(10):
        put(bench, (b"key-%d" % number, b"old"), (b"key-%d" % (number + 1), b"new"))
    seal(bench)
    offsets = []
    while (report := compact(bench, map_bytes_max=800)) is not None:
        offsets.append(report.clean_offset)
    assert offsets == sorted(set(offsets))
    assert len(offsets) > 2
    assert offsets[-1] == 20
    assert newest(bench.records()) == {
        b"key-0": b"old",
        **{b"key-%d" % n: b"old" for n in range(10)},
        b"key-10": b"new",
    }
    assert len(bench.records()) == 11


# ---- producers and transactions


def test_the_last_batch_of_a_producer_stays_without_records_and_tells_its_sequence(bench: LogBench) -> None:
    producer = {"producer_id": 7, "producer_epoch": 0}
    put(bench, (b"a", b"1"), (b"b", b"1"), base_sequence=0, **producer)
    put(bench, (b"a", b"2"), (b"b", b"2"))
    seal(bench)
    compact(bench)
    assert pairs(bench) == [(2, b"a", b"2"), (3, b"b", b"2")]
    headers = [batch.header for batch in bench.log.batches(0)]
    assert [(header.base_offset, header.last_offset, header.record_count) for header in headers] == [
        (0, 1, 0),
        (2, 3, 2),
    ]
    for name in bench.file_names(".snapshot"):
        (bench.directory / name).unlink()
    bench.kill(recovery_point=0)
    with pytest.raises(OutOfOrderSequence):
        put(bench, (b"a", b"3"), base_sequence=5, **producer)
    assert put(bench, (b"a", b"3"), base_sequence=2, **producer).base_offset == 4


def test_aborted_records_go_and_do_not_replace_what_was_committed(bench: LogBench) -> None:
    put(bench, (b"a", b"committed"))
    put(bench, (b"a", b"aborted"), producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    end(bench, 7, MarkerKind.ABORT)
    seal(bench)
    compact(bench)
    assert [(record.offset, record.value) for record in bench.records() if record.key == b"a"] == [(0, b"committed")]


def test_an_open_transaction_is_not_compacted(bench: LogBench) -> None:
    put(bench, (b"a", b"1"))
    seal(bench)
    put(bench, (b"a", b"open"), producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    seal(bench)
    put(bench, (b"a", b"3"))
    seal(bench)
    compact(bench)
    assert [offset for offset, _, _ in pairs(bench)] == [0, 1, 2]
    end(bench, 7, MarkerKind.COMMIT)
    seal(bench)
    compact(bench)
    assert [record.value for record in bench.records() if record.key == b"a"] == [b"3"]


@pytest.mark.parametrize("kind", list(MarkerKind))
def test_a_marker_stays_with_its_transaction_and_then_until_its_delete_horizon(
    bench: LogBench, kind: MarkerKind
) -> None:
    bench.configure(delete_retention_ms=1000)
    put(bench, (b"a", b"1"), producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    end(bench, 7, kind)
    put(bench, (b"a", b"2"), producer_id=7, producer_epoch=0, base_sequence=1, transactional=True)
    end(bench, 7, MarkerKind.COMMIT)
    put(bench, (b"a", b"3"))
    seal(bench)

    def next_pass(number: int) -> None:
        put(bench, (b"other", b"%d" % number))
        seal(bench)
        assert compact(bench) is not None

    compact(bench)
    assert control_offsets(bench) == [1, 3]
    next_pass(1)
    assert control_offsets(bench) == [1, 3]
    bench.clock.advance_ms(1000)
    next_pass(2)
    # The second transaction's batch, the producer's last, stays as a header, and its marker with it.
    assert control_offsets(bench) == [3]
    assert newest([record for record in bench.records() if record.key in (b"a", b"other")])[b"a"] == b"3"
    assert bench.log.aborted_in(0, bench.log.next_offset) == []


def test_an_aborted_transaction_whose_marker_lies_in_a_later_segment_goes_as_well(bench: LogBench) -> None:
    put(bench, (b"a", b"kept"))
    put(bench, (b"a", b"aborted"), producer_id=7, producer_epoch=0, base_sequence=0, transactional=True)
    seal(bench)
    end(bench, 7, MarkerKind.ABORT)
    bench.log.flush()
    compact(bench)
    assert [record.value for record in bench.records() if record.key == b"a"] == [b"kept"]
    put(bench, (b"a", b"later"), producer_id=7, producer_epoch=0, base_sequence=1, transactional=True)
    end(bench, 7, MarkerKind.COMMIT)
    seal(bench)
    compact(bench)
    assert [record.value for record in bench.records() if record.key == b"a"] == [b"later"]


# ---- beside it


def test_a_reader_keeps_the_file_that_it_is_being_sent(bench: LogBench) -> None:
    put(bench, (b"a", b"1"))
    put(bench, (b"a", b"2"))
    seal(bench)
    place = bench.log.read(0, 1 << 20)
    assert place is not None
    before = place.read()
    compact(bench)
    assert place.read() == before
    place.release()
    assert pairs(bench) == [(1, b"a", b"2")]


def test_the_log_is_written_and_read_while_it_is_compacted(bench: LogBench) -> None:
    for number in range(6):
        put(bench, (b"a", b"%d" % number), (b"b%d" % number, b"x"))
        seal(bench)
    seen: list[int] = []

    def between() -> None:
        put(bench, (b"a", b"during"))
        seen.append(len(bench.records()))
        assert newest(bench.records()) == {b"a": b"during", **{b"b%d" % n: b"x" for n in range(6)}}

    bench.configure(segment_bytes=250)
    compact(bench, between=between)
    assert len(seen) > 3
    assert newest(bench.records()) == {b"a": b"during", **{b"b%d" % n: b"x" for n in range(6)}}


def test_retention_that_is_faster_ends_the_pass(bench: LogBench) -> None:
    bench.configure(deletes=True, retention_ms=1000)
    put(bench, (b"a", b"1"))
    put(bench, (b"a", b"2"))
    seal(bench)
    compaction = bench.log.compaction_begin(map_bytes_max=1000)
    assert compaction is not None
    compaction.run()
    bench.clock.advance_ms(2000)
    assert len(bench.log.apply_retention()) == 1
    assert not bench.log.compaction_advance(compaction)
    assert not list(bench.directory.glob("*.cleaned"))
    assert bench.log.log_start_offset == 2
    put(bench, (b"a", b"3"))
    put(bench, (b"a", b"4"))
    seal(bench)
    compact(bench)
    assert pairs(bench) == [(3, b"a", b"4")]


def test_a_truncation_ends_the_pass(bench: LogBench) -> None:
    put(bench, (b"a", b"1"))
    put(bench, (b"a", b"2"))
    seal(bench)
    compaction = bench.log.compaction_begin(map_bytes_max=1000)
    assert compaction is not None
    compaction.run()
    bench.log.truncate_to(1)
    assert bench.log.compaction_begin(map_bytes_max=1000) is None
    assert not bench.log.compaction_advance(compaction)
    assert pairs(bench) == [(0, b"a", b"1")]
    assert not list(bench.directory.glob("*.cleaned"))


def test_a_damaged_batch_ends_the_pass_and_changes_nothing(bench: LogBench) -> None:
    put(bench, (b"a", b"1"))
    put(bench, (b"a", b"2"))
    seal(bench)
    path = bench.directory / bench.file_names(".log")[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match="CRC"):
        compact(bench)
    assert path.read_bytes() == content
    assert not list(bench.directory.glob("*.cleaned"))


def test_a_full_disk_ends_the_pass_and_the_next_one_succeeds(bench: LogBench) -> None:
    put(bench, (b"a", b"1"))
    put(bench, (b"a", b"2"))
    seal(bench)
    bench.files.room = 10
    with pytest.raises(StorageError, match="No space"):
        compact(bench)
    bench.files.room = None
    assert len(pairs(bench)) == 2
    compact(bench)
    assert pairs(bench) == [(1, b"a", b"2")]


def test_timestamps_are_looked_up_among_what_is_left(bench: LogBench) -> None:
    start = bench.clock.now_ms()
    for number in range(4):
        put(bench, (b"a", b"%d" % number), (b"b", b"%d" % number), timestamp=start + number)
    put(bench, (b"b", b"last"), timestamp=start + 10)
    seal(bench)
    compact(bench)
    assert pairs(bench) == [(6, b"a", b"3"), (8, b"b", b"last")]
    found = bench.log.offset_for_timestamp(start)
    assert found is not None
    assert (found.offset, found.timestamp) == (6, start + 3)
    latest = bench.log.offset_of_max_timestamp()
    assert latest is not None
    assert latest.offset == 8


def test_headers_survive_with_a_delete_horizon(bench: LogBench) -> None:
    records = [NewRecord(b"a", None, headers=(("h", b"1"), ("n", None))), NewRecord(b"b", b"v", timestamp=5)]
    bench.append_batch(build_batch(records, timestamp=bench.clock.now_ms()))
    before = bench.records()
    seal(bench)
    compact(bench)
    assert bench.records() == before
    assert next(iter(bench.log.batches(0))).header.delete_horizon_ms is not None
