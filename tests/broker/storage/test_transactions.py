"""Open transactions, the last stable offset, and the index of what was aborted."""

from collections.abc import Callable
from pathlib import Path

import pytest

from broker.errors import ErrorCode
from broker.records import Marker, MarkerKind, build_marker, iterate_batches
from broker.storage import AbortedTransaction, Appended, AppendOrigin
from broker.storage.errors import InvalidProducerEpoch, InvalidRecord, InvalidTransactionState, StorageError
from broker.storage.transaction_index import TransactionIndex
from tests.broker.storage.bench import NOW, LogBench
from tests.broker.storage.faulty_files import FaultyFileSystem


def write(bench: LogBench, producer_id: int, sequence: int = 0, *, epoch: int = 0, count: int = 1) -> Appended:
    """Appends *count* records inside the producer's transaction."""
    values = (b"%d" % n for n in range(count))
    return bench.append(
        *values, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence, transactional=True
    )


def mark(bench: LogBench, producer_id: int, kind: MarkerKind, *, epoch: int = 0) -> int:
    """Ends the producer's transaction; the marker's offset."""
    batch = build_marker(Marker(kind, 3), timestamp=NOW, producer_id=producer_id, producer_epoch=epoch)
    return bench.append_batch(batch, AppendOrigin.COORDINATOR).base_offset


def commit(bench: LogBench, producer_id: int, *, epoch: int = 0) -> int:
    return mark(bench, producer_id, MarkerKind.COMMIT, epoch=epoch)


def abort(bench: LogBench, producer_id: int, *, epoch: int = 0) -> int:
    return mark(bench, producer_id, MarkerKind.ABORT, epoch=epoch)


def aborted(bench: LogBench, offset: int = 0) -> list[tuple[int, int, int]]:
    """(producer id, first offset, last offset) of everything aborted that a reader from *offset* meets."""
    return [entry[:3] for entry in bench.log.aborted_in(offset, bench.log.last_stable_offset)]


RESTARTS: dict[str, Callable[[LogBench], object]] = {
    "running": lambda bench: None,
    "clean stop": lambda bench: bench.restart(),
    "kill": lambda bench: bench.kill(),
    "kill, all read again": lambda bench: bench.kill(recovery_point=0),
    "rolled, kill": lambda bench: (bench.log.roll(), bench.kill()),
    "rolled, kill, all read again": lambda bench: (bench.log.roll(), bench.kill(recovery_point=0)),
    "rolled, flushed, kill": lambda bench: (bench.log.roll(), bench.log.flush(), bench.kill()),
}


def test_the_last_stable_offset_is_the_first_of_the_earliest_open_transaction(bench: LogBench) -> None:
    """It moves over a transaction only when that and all earlier ones have ended, and never back."""
    bench.append(b"plain")
    write(bench, 1, count=2)
    write(bench, 2, count=2)
    bench.append(b"plain")
    assert (bench.log.last_stable_offset, bench.log.high_watermark) == (1, 6)
    commit(bench, 2)
    assert bench.log.last_stable_offset == 1
    abort(bench, 1)
    assert bench.log.last_stable_offset == bench.log.next_offset == 8
    write(bench, 1, 2)
    assert bench.log.last_stable_offset == 8


@pytest.mark.parametrize("restart", RESTARTS)
def test_open_and_aborted_transactions_survive(bench: LogBench, restart: str) -> None:
    """A clean stop, a kill with some of the log synced or none of it, with the marker in a later segment or not."""
    write(bench, 1, count=3)
    write(bench, 2)
    abort(bench, 1)
    bench.log.roll()
    write(bench, 3)
    abort(bench, 2)
    write(bench, 2, 1)
    commit(bench, 2)
    RESTARTS[restart](bench)
    assert bench.log.last_stable_offset == 5
    entries = bench.log.aborted_in(0, bench.log.next_offset)
    assert entries == [AbortedTransaction(1, 0, 4, 3), AbortedTransaction(2, 3, 6, 5)]
    assert [(state.producer_id, state.transaction_start) for state in bench.log.active_producers()] == [
        (1, None),
        (2, None),
        (3, 5),
    ]
    abort(bench, 3)
    assert bench.log.last_stable_offset == bench.log.next_offset
    assert aborted(bench, 5) == [(2, 3, 6), (3, 5, bench.log.next_offset - 1)]
    assert aborted(bench, 7) == [(3, 5, bench.log.next_offset - 1)]


def test_a_reader_is_told_only_of_transactions_that_it_meets(bench: LogBench) -> None:
    """Those that ended before it, and those that begin behind what it reads, are left out."""
    for producer_id in range(1, 6):
        write(bench, producer_id)
        abort(bench, producer_id)
    assert [entry.producer_id for entry in bench.log.aborted_in(4, 7)] == [3, 4]
    assert bench.log.aborted_in(10, 10) == []


def test_the_transaction_index_is_kafkas(bench: LogBench) -> None:
    """34 bytes an entry: version, producer id, first and last offset, last stable offset."""
    write(bench, 7)
    bench.append(b"plain")
    abort(bench, 7)
    bench.log.flush()
    content = (bench.directory / "00000000000000000000.txnindex").read_bytes()
    assert content.hex() == "0000" + "".join(f"{number:016x}" for number in (7, 0, 2, 3))


def test_a_log_without_aborted_transactions_has_no_such_file(bench: LogBench) -> None:
    """Commits leave nothing to tell."""
    write(bench, 1)
    commit(bench, 1)
    bench.log.roll()
    bench.restart()
    assert bench.file_names(".txnindex") == []


@pytest.mark.parametrize("damage", [b"torn", b""])
def test_a_damaged_transaction_index_is_made_again(bench: LogBench, damage: bytes) -> None:
    """A size that no index has is noticed at every start; what lies behind the recovery point is read again anyway."""
    write(bench, 1)
    abort(bench, 1)
    bench.log.roll()
    write(bench, 2)
    bench.log.close(clean=not damage)
    path = bench.directory / "00000000000000000000.txnindex"
    path.write_bytes(path.read_bytes() + damage if damage else b"")
    bench.open(clean=bool(damage), recovery_point=3 if damage else 0)
    assert aborted(bench) == [(1, 0, 1)]


def test_a_truncation_opens_the_transactions_again_whose_markers_it_cuts(bench: LogBench) -> None:
    """And their entries go; those of what stays are kept."""
    write(bench, 1)
    abort(bench, 1)
    write(bench, 2)
    abort(bench, 2)
    bench.log.flush()
    bench.log.truncate_to(3)
    assert bench.log.last_stable_offset == 2
    assert aborted(bench) == [(1, 0, 1)]
    bench.restart()
    assert [entry.producer_id for entry in bench.log.aborted_in(0, 3)] == [1]


def test_a_commit_is_not_stable_before_its_marker_is_on_the_disk(tmp_path: Path) -> None:
    """With flush.before.ack a reader of committed records gets nothing that a loss of power could take back."""
    bench = LogBench(tmp_path, flush_before_ack=True)
    write(bench, 1)
    bench.log.flush()
    assert (bench.log.last_stable_offset, bench.log.high_watermark) == (0, 1)
    commit(bench, 1)
    assert bench.log.last_stable_offset == 0
    bench.log.flush()
    assert bench.log.last_stable_offset == 2


def test_the_last_stable_offset_is_never_below_the_log_start(bench: LogBench) -> None:
    """Records may be deleted inside an open transaction."""
    write(bench, 1, count=4)
    bench.log.delete_records(3)
    assert bench.log.log_start_offset == bench.log.last_stable_offset == 3


def test_retention_takes_the_transaction_index_along(bench: LogBench) -> None:
    """Nobody reads that far back any more."""
    write(bench, 1)
    abort(bench, 1)
    bench.log.roll()
    bench.append(b"plain")
    bench.log.delete_records(2)
    for segment in bench.log.apply_retention():
        segment.remove()
    assert bench.file_names(".txnindex") == []
    assert aborted(bench, 2) == []


def test_a_batch_outside_the_open_transaction_is_refused(bench: LogBench) -> None:
    """A producer inside a transaction cannot write past it."""
    write(bench, 1)
    with pytest.raises(InvalidTransactionState, match="producer 1 has a transaction open since offset 0") as refused:
        bench.append(b"plain", producer_id=1, producer_epoch=0, base_sequence=1)
    assert refused.value.code is ErrorCode.INVALID_TXN_STATE


def test_a_marker_of_a_higher_epoch_fences_the_one_before(bench: LogBench) -> None:
    """Late batches of the ended transaction are refused; the new epoch begins at sequence 0."""
    write(bench, 1)
    abort(bench, 1, epoch=1)
    with pytest.raises(InvalidProducerEpoch):
        write(bench, 1, 1)
    with pytest.raises(InvalidProducerEpoch):
        commit(bench, 1)
    assert write(bench, 1, 0, epoch=1).base_offset == 2


def test_a_second_marker_changes_nothing(bench: LogBench) -> None:
    """The coordinator may write a marker again after a crash."""
    write(bench, 1)
    abort(bench, 1)
    abort(bench, 1)
    commit(bench, 1)
    assert aborted(bench) == [(1, 0, 1)]
    assert bench.log.last_stable_offset == bench.log.next_offset == 4


def test_a_client_may_not_write_markers(bench: LogBench) -> None:
    """Only the coordinator ends transactions."""
    batch = build_marker(Marker(MarkerKind.COMMIT, 0), timestamp=NOW, producer_id=1, producer_epoch=0)
    with pytest.raises(InvalidRecord, match="control"):
        bench.append_batch(batch)


def test_a_full_disk_keeps_the_index_in_memory_until_there_is_room(tmp_path: Path) -> None:
    """The flush that could not save it fails; the next one has everything."""
    files = FaultyFileSystem()
    bench = LogBench(tmp_path, files)
    write(bench, 1)
    abort(bench, 1)
    files.room = 5
    with pytest.raises(StorageError):
        bench.log.flush()
    assert aborted(bench) == [(1, 0, 1)]
    files.room = None
    bench.log.flush()
    assert list(TransactionIndex.load(bench.directory / "00000000000000000000.txnindex", files)) == [
        AbortedTransaction(1, 0, 1, 2)
    ]


def test_a_reader_that_is_far_behind_is_not_told_of_all_that_was_aborted_since(tmp_path: Path) -> None:
    """Only of what its batches may meet, by the offset index."""
    bench = LogBench(tmp_path, index_interval_bytes=64)
    for sequence in range(200):
        write(bench, 1, sequence)
        abort(bench, 1)
    for offset in (0, 100, 399):
        place = bench.log.read(offset, 400, up_to=bench.log.last_stable_offset)
        assert place is not None
        told = bench.log.aborted_in(offset, bench.log.last_stable_offset, place)
        met = [
            entry
            for entry in bench.log.aborted_in(0, bench.log.next_offset)
            if any(
                entry.first_offset <= batch.header.last_offset
                and entry.last_offset >= max(offset, batch.header.base_offset)
                for batch in iterate_batches(place.read())
            )
        ]
        place.release()
        assert met
        assert set(met) <= set(told)
        assert len(told) <= len(met) + 2


def test_an_index_that_recovery_made_again_survives_a_loss_of_power(bench: LogBench) -> None:
    """The recovery point lies behind its markers already, so no later flush would sync it."""
    write(bench, 1)
    abort(bench, 1)
    bench.log.flush()
    bench.kill()
    bench.log.roll()
    bench.log.flush()
    expected = aborted(bench)
    recovery_point = bench.log.recovery_point
    bench.log.close(clean=False)
    bench.files.power_loss(bench.directory)
    bench.open(clean=False, recovery_point=recovery_point)
    assert aborted(bench) == expected != []
