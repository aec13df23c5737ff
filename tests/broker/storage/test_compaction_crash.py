"""A crash at any file operation of a compaction: no last value is lost, no offset changes, the next pass finishes."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from broker.records import Marker, MarkerKind, build_marker
from broker.storage import AppendOrigin
from tests.broker.storage.bench import LogBench
from tests.broker.storage.compacting import Crash, CrashingFileSystem, compact, compacted_bench, newest, put, seal

OPERATIONS_MAX = 400


def kill(bench: LogBench) -> None:
    bench.kill()


def lose_power(bench: LogBench) -> None:
    restart_without_power(bench, None)


def lose_power_torn(bench: LogBench) -> None:
    restart_without_power(bench, Random(bench.directory.parent.name))


def restart_without_power(bench: LogBench, torn: Random | None) -> None:
    assert isinstance(bench.files, CrashingFileSystem)
    recovery_point, start = bench.log.recovery_point, bench.log.log_start_offset
    bench.log.close(clean=False)
    bench.files.power_loss(bench.directory, torn)
    bench.open(clean=False, recovery_point=recovery_point, log_start_offset=start)


def filled(path: Path) -> LogBench:
    """Segments that are merged and ones that are not, with an aborted transaction and tombstones among them."""
    bench = compacted_bench(path, CrashingFileSystem(), delete_retention_ms=0, index_interval_bytes=1)
    producer = {"producer_id": 7, "producer_epoch": 0}
    for number in range(4):
        put(bench, (b"a", b"%d" % number), (b"b%d" % number, b"v" * 40), (b"gone%d" % (number % 2), b"x"))
        seal(bench)
    put(bench, (b"a", b"aborted"), base_sequence=0, transactional=True, **producer)
    abort = build_marker(Marker(MarkerKind.ABORT, 0), timestamp=bench.clock.now_ms(), producer_id=7, producer_epoch=0)
    bench.append_batch(abort, AppendOrigin.COORDINATOR)
    seal(bench)
    put(bench, (b"gone0", None), (b"gone1", None))
    put(bench, (b"c", b"last"))
    seal(bench)
    bench.configure(segment_bytes=400)
    return bench


def table(bench: LogBench) -> dict[bytes, bytes]:
    """What a reader of committed records builds."""
    aborted = {entry.producer_id for entry in bench.log.aborted_in(0, bench.log.next_offset)}
    records = [
        record
        for batch in bench.log.batches(bench.log.log_start_offset)
        if not batch.header.is_control and batch.header.producer_id not in aborted
        for record in batch.records()
    ]
    return newest(records)


@pytest.mark.parametrize("crash", [kill, lose_power, lose_power_torn])
@pytest.mark.parametrize("passes_before", [0, 1, 2])
def test_a_crash_at_any_operation_loses_nothing(
    tmp_path: Path, crash: Callable[[LogBench], None], passes_before: int
) -> None:
    """Every operation in turn, until a pass gets through without one."""
    for operation in range(OPERATIONS_MAX):
        bench = filled(tmp_path / str(operation))
        for number in range(passes_before):
            compact(bench)
            put(bench, (b"a", b"pass-%d" % number))
            seal(bench)
        expected = table(bench)
        before = {record.offset: record for record in bench.records()}
        next_offset = bench.log.next_offset
        files = bench.files
        assert isinstance(files, CrashingFileSystem)
        files.operations_left = operation
        try:
            compact(bench)
            got_through = True
        except Crash:
            got_through = False
        files.operations_left = None
        crash(bench)
        assert table(bench) == expected
        assert (bench.log.log_start_offset, bench.log.next_offset) == (0, next_offset)
        after = bench.records()
        offsets = [record.offset for record in after]
        assert offsets == sorted(set(offsets))
        assert all(before[record.offset] == record for record in after)
        for offset in range(next_offset):
            assert bench.records(offset) == [record for record in after if record.offset >= offset]
        assert put(bench, (b"a", b"behind the crash")).base_offset == next_offset
        seal(bench)
        compact(bench)
        assert table(bench) == {**expected, b"a": b"behind the crash"}
        assert not [name for name in bench.file_names("") if name.endswith((".swap", ".cleaned", ".deleted"))]
        bench.log.close(clean=False)
        if got_through:
            assert operation > 20
            return
    raise AssertionError(f"a pass takes more than {OPERATIONS_MAX} operations")
