"""Idempotent and transactional producers: duplicates, gaps, fencing, restarts."""

from pathlib import Path

import pytest

from broker.errors import ErrorCode
from broker.records import Marker, MarkerKind, NewRecord, build_batch, build_marker
from broker.storage import Appended, AppendOrigin
from broker.storage.errors import InvalidProducerEpoch, OutOfOrderSequence
from broker.storage.producer_snapshot import UnsoundSnapshot, parse_snapshot, snapshot_bytes
from tests.broker.storage.bench import NOW, LogBench

SEQUENCE_MAX = 2**31 - 1
DAY_MS = 86_400_000


def produce(
    bench: LogBench, sequence: int, count: int = 1, *, epoch: int = 0, producer_id: int = 9, **batch: bool
) -> Appended:
    """Appends *count* records of an idempotent producer."""
    values = (b"%d" % n for n in range(count))
    return bench.append(*values, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence, **batch)


def test_each_of_the_last_five_batches_is_known_for_a_duplicate(bench: LogBench) -> None:
    """A retry gets the offsets that the batch has already, and nothing is stored; an older one is out of order."""
    for n in range(6):
        produce(bench, 2 * n, 2)
    for n in range(1, 6):
        assert produce(bench, 2 * n, 2) == Appended(2 * n, 2 * n + 1, -1, 0, duplicate=True)
    with pytest.raises(OutOfOrderSequence, match="expected sequence 12, got 0"):
        produce(bench, 0, 2)
    assert bench.log.next_offset == 12


@pytest.mark.parametrize("restart", ["clean", "kill", "kill, snapshot unsound", "roll and kill"])
def test_duplicates_and_gaps_are_known_after_a_restart(bench: LogBench, restart: str) -> None:
    """All five batches survive, by snapshot or by replay."""
    for n in range(7):
        produce(bench, n)
    match restart:
        case "clean":
            bench.restart()
        case "kill":
            bench.kill()
        case "kill, snapshot unsound":
            bench.restart()
            for name in bench.file_names(".snapshot"):
                (bench.directory / name).write_bytes(b"\x00\x01 torn")
            bench.kill()
        case _:
            bench.log.roll()
            bench.kill(recovery_point=7)
    for n in range(2, 7):
        assert produce(bench, n) == Appended(n, n, -1, 0, duplicate=True)
    with pytest.raises(OutOfOrderSequence):
        produce(bench, 8)
    assert produce(bench, 7) == Appended(7, 7, -1, 0, duplicate=False)


def test_a_gap_in_the_sequence_is_refused_with_both_numbers(bench: LogBench) -> None:
    """The sequence must be last + 1."""
    produce(bench, 0, 3)
    with pytest.raises(OutOfOrderSequence, match="producer 9: expected sequence 3, got 4") as refused:
        produce(bench, 4)
    assert refused.value.code is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert produce(bench, 3).base_offset == 3


def test_a_sequence_wraps_to_zero_behind_the_largest(bench: LogBench) -> None:
    """Between batches and within one; the wrapped batches are known for duplicates, also after a restart."""
    produce(bench, SEQUENCE_MAX - 1, 2)
    produce(bench, 0, 1)
    produce(bench, 1, 2)
    bench.log.truncate_to(0)
    produce(bench, SEQUENCE_MAX - 1, 4)
    produce(bench, 2)
    for _ in range(2):
        assert produce(bench, SEQUENCE_MAX - 1, 4).duplicate
        assert produce(bench, 2).duplicate
        with pytest.raises(OutOfOrderSequence):
            produce(bench, SEQUENCE_MAX)
        bench.restart()
    assert not produce(bench, 3).duplicate


def test_a_new_epoch_starts_at_zero_and_fences_the_old_one(bench: LogBench) -> None:
    """Any other first sequence is out of order; the lower epoch is INVALID_PRODUCER_EPOCH from then on."""
    produce(bench, 0, 5)
    with pytest.raises(OutOfOrderSequence, match="expected sequence 0, got 5"):
        produce(bench, 5, epoch=1)
    produce(bench, 0, epoch=1)
    with pytest.raises(InvalidProducerEpoch, match="epoch 0 was fenced by epoch 1") as refused:
        produce(bench, 5, epoch=0)
    assert refused.value.code is ErrorCode.INVALID_PRODUCER_EPOCH
    bench.kill()
    with pytest.raises(InvalidProducerEpoch):
        produce(bench, 5, epoch=0)


def test_a_producer_that_is_not_known_may_start_anywhere(bench: LogBench) -> None:
    """Its records may have been deleted by retention: Kafka takes any sequence then."""
    assert produce(bench, 41).base_offset == 0
    assert produce(bench, 42).base_offset == 1


def test_producers_do_not_disturb_each_other(bench: LogBench) -> None:
    """Sequences are counted per producer id."""
    for n in range(3):
        produce(bench, n, producer_id=1)
        produce(bench, n, producer_id=2)
    assert produce(bench, 2, producer_id=1).base_offset == 4
    assert [state.producer_id for state in bench.log.active_producers()] == [1, 2]


def test_a_refused_or_failed_append_does_not_move_the_sequence(bench: LogBench) -> None:
    """After a full disk the same batch is no duplicate."""
    produce(bench, 0)
    bench.files.room = 10
    with pytest.raises(Exception, match="No space left"):
        produce(bench, 1)
    bench.files.room = None
    assert produce(bench, 1) == Appended(1, 1, -1, 0, duplicate=False)


def test_a_producer_is_forgotten_when_it_has_not_written_for_a_day(bench: LogBench) -> None:
    """By the broker's clock: one that writes last year's events is not forgotten while it writes."""
    batch = build_batch([NewRecord(None, b"v", 5)], timestamp=5, producer_id=3, producer_epoch=0, base_sequence=0)
    bench.append_batch(batch)
    produce(bench, 0)
    bench.clock.advance_ms(DAY_MS - 1)
    produce(bench, 1)
    bench.log.apply_retention()
    assert len(bench.log.active_producers()) == 2
    bench.clock.advance_ms(1)
    bench.log.apply_retention()
    assert [state.producer_id for state in bench.log.active_producers()] == [9]


def test_the_last_stable_offset_waits_for_the_earliest_open_transaction(bench: LogBench) -> None:
    """It is the first offset of that transaction, moves with its marker, and survives restarts."""
    bench.append(b"plain")
    produce(bench, 0, producer_id=1, transactional=True)
    produce(bench, 0, producer_id=2, transactional=True)
    assert bench.log.last_stable_offset == 1
    end_transaction(bench, 1)
    assert bench.log.last_stable_offset == 2
    bench.restart()
    assert bench.log.last_stable_offset == 2
    bench.kill(recovery_point=0)
    assert bench.log.last_stable_offset == 2
    end_transaction(bench, 2, MarkerKind.ABORT)
    assert bench.log.last_stable_offset == bench.log.next_offset == 5
    bench.kill(recovery_point=0)
    assert bench.log.last_stable_offset == 5


def test_the_last_stable_offset_does_not_run_ahead_of_a_marker_that_may_be_lost(tmp_path: Path) -> None:
    """With flush.before.ack a transaction is stable when its marker is synced, not when it is written."""
    bench = LogBench(tmp_path, flush_before_ack=True)
    produce(bench, 0, transactional=True)
    bench.log.flush()
    end_transaction(bench, 9)
    assert (bench.log.high_watermark, bench.log.last_stable_offset) == (1, 0)
    bench.log.flush()
    assert bench.log.last_stable_offset == 2


def test_a_marker_of_a_newer_epoch_lets_that_epoch_begin_at_zero(bench: LogBench) -> None:
    """The coordinator bumps the epoch when it aborts: the old one is fenced, the new one has written nothing."""
    produce(bench, 0, 3, transactional=True)
    end_transaction(bench, 9, MarkerKind.ABORT, epoch=1)
    with pytest.raises(InvalidProducerEpoch):
        produce(bench, 3, transactional=True)
    bench.restart()
    with pytest.raises(OutOfOrderSequence):
        produce(bench, 3, epoch=1, transactional=True)
    assert produce(bench, 0, epoch=1, transactional=True).base_offset == 4


def test_truncation_takes_the_producers_back(bench: LogBench) -> None:
    """What was cut is no duplicate any more, and the sequence goes on before it."""
    for n in range(4):
        produce(bench, n)
        bench.log.roll()
    bench.log.truncate_to(2)
    assert produce(bench, 1).duplicate
    assert produce(bench, 2) == Appended(2, 2, -1, 0, duplicate=False)


def test_the_snapshots_bytes_are_kafkas(bench: LogBench) -> None:
    """Version 1, CRC-32C, an entry of 46 bytes: producer, epoch, last sequence, offset, delta, time, marker, start."""
    produce(bench, 4, 3, epoch=2)
    bench.restart()
    content = (bench.directory / "00000000000000000003.snapshot").read_bytes()
    entry = bytes.fromhex(
        "0000000000000009 0002 00000006 0000000000000002 000000020000018bcfe56800 ffffffff ffffffffffffffff"
    )
    assert content[:2] == b"\x00\x01"
    assert content[6:] == b"\x00\x00\x00\x01" + entry


def test_an_unsound_snapshot_is_told(bench: LogBench) -> None:
    """Every prefix and every flipped byte raises UnsoundSnapshot."""
    produce(bench, 0)
    content = snapshot_bytes(bench.log.active_producers())
    assert len(parse_snapshot(content, NOW)) == 1
    for size in range(len(content)):
        with pytest.raises(UnsoundSnapshot):
            parse_snapshot(content[:size], NOW)
        broken = bytearray(content)
        broken[size] ^= 0x40
        with pytest.raises(UnsoundSnapshot):
            parse_snapshot(bytes(broken), NOW)


def test_restarts_leave_no_pile_of_snapshots(bench: LogBench) -> None:
    """Those of passed closes are removed; those at the start of a segment stay for truncations."""
    for n in range(6):
        produce(bench, n)
        if n == 2:
            bench.log.roll()
        bench.restart()
    assert bench.file_names(".snapshot") == ["00000000000000000003.snapshot", "00000000000000000006.snapshot"]


def end_transaction(bench: LogBench, producer_id: int, kind: MarkerKind = MarkerKind.COMMIT, epoch: int = 0) -> None:
    """Appends a marker, as the coordinator does."""
    marker = build_marker(Marker(kind, 0), timestamp=NOW, producer_id=producer_id, producer_epoch=epoch)
    bench.append_batch(marker, AppendOrigin.COORDINATOR)
