"""Opening a log after a crash: every whole, valid batch is kept, the torn tail is cut."""

from pathlib import Path
from random import Random

import pytest

from broker.records import NewRecord, build_batch
from broker.storage.errors import StorageError
from tests.broker.storage.bench import NOW, LogBench

ACTIVE = "00000000000000000000.log"


def test_a_log_torn_at_any_byte_of_its_last_batch_keeps_the_batches_before_it(bench: LogBench) -> None:
    """Cut at every length: the torn batch goes, all before it stay, and appends go on behind them."""
    bench.append(b"first")
    bench.append(b"second", b"third")
    whole = bench.log.size
    bench.append(b"torn")
    content = (bench.directory / ACTIVE).read_bytes()
    for size in range(whole, len(content)):
        bench.log.close(clean=False)
        (bench.directory / ACTIVE).write_bytes(content[:size])
        bench.open(clean=False)
        assert bench.log.next_offset == 3
        assert bench.log.recovered.bytes_cut == size - whole
        assert bench.values() == [b"first", b"second", b"third"]
    assert bench.append(b"again").base_offset == 3
    assert bench.values(3) == [b"again"]


@pytest.mark.parametrize("seed", range(8))
def test_a_garbage_tail_is_cut(bench: LogBench, seed: int) -> None:
    """Random bytes, zeros, and a length that claims two gigabytes: all cut, nothing else lost."""
    random = Random(seed)
    tail = [
        random.randbytes(random.randint(1, 5000)),
        bytes(random.randint(1, 100_000)),
        (2).to_bytes(8, "big") + b"\x7f\xff\xff\xff" + bytes(4) + b"\x02" + random.randbytes(500),
    ][seed % 3]
    bench.append(b"a")
    bench.append(b"b")
    with (bench.directory / ACTIVE).open("ab") as file:
        file.write(tail)
    bench.kill()
    assert bench.values() == [b"a", b"b"]
    assert bench.log.recovered.bytes_cut == len(tail)


def test_a_batch_with_a_flipped_bit_ends_the_log_there(bench: LogBench) -> None:
    """The CRC finds it; what lies behind it in the file is cut too."""
    for n in range(5):
        bench.append(b"value-%d" % n)
    path = bench.directory / ACTIVE
    content = bytearray(path.read_bytes())
    content[2 * len(content) // 5 + 70] ^= 1
    path.write_bytes(content)
    bench.kill(recovery_point=0)
    assert bench.values() == [b"value-0", b"value-1"]


def test_an_old_batch_behind_the_end_is_not_taken_for_a_new_one(bench: LogBench) -> None:
    """A valid batch whose offset goes back is the rest of an earlier life of the file."""
    bench.append(b"a", b"b")
    with (bench.directory / ACTIVE).open("ab") as file:
        file.write(build_batch([NewRecord(None, b"ghost")], timestamp=NOW, base_offset=1))
    assert bench.kill().next_offset == 2


def test_a_batch_larger_than_the_read_buffer_is_checked_and_kept(bench: LogBench) -> None:
    """Three megabytes in one batch, read in pieces; one byte missing and it goes."""
    bench.configure(max_message_bytes=10_000_000)
    bench.append(b"small")
    bench.append(b"x" * 3_000_000)
    assert bench.kill(recovery_point=0).next_offset == 2
    with (bench.directory / ACTIVE).open("r+b") as file:
        file.truncate(bench.log.size - 1)
    assert bench.kill(recovery_point=0).next_offset == 1


def test_a_cut_in_a_middle_segment_drops_the_segments_behind_it(bench: LogBench) -> None:
    """What follows on a hole is not the log any more; the report says how much went."""
    bench.configure(segment_bytes=200)
    for n in range(6):
        bench.append(b"x" * 100 + b"%d" % n)
    names = bench.file_names(".log")
    assert len(names) == 6
    with (bench.directory / names[2]).open("r+b") as file:
        file.truncate(100)
    bench.kill(recovery_point=0)
    assert bench.log.next_offset == 2
    assert bench.log.recovered.segments_dropped == 3
    assert [value[-1:] for value in bench.values() if value] == [b"0", b"1"]
    assert bench.append(b"again").base_offset == 2
    assert bench.file_names(".log") == names[:3]


def test_segments_below_the_recovery_point_are_not_read_again(bench: LogBench) -> None:
    """Only what may be torn costs time."""
    bench.configure(segment_bytes=200)
    for _ in range(10):
        bench.append(b"x" * 100)
    bench.log.flush()
    bench.append(b"y" * 100)
    bench.kill()
    assert bench.log.recovered.batches == 1
    assert len(bench.values()) == 11


def test_a_clean_stop_reads_nothing_and_finds_everything(bench: LogBench) -> None:
    """Offsets, epochs and values after a restart, without a batch checked."""
    bench.configure(segment_bytes=2000, index_interval_bytes=300)
    for n in range(50):
        bench.append(b"x" * 100, leader_epoch=n // 20)
    before = bench.records()
    log = bench.restart()
    assert (log.recovered.batches, log.next_offset, log.leader_epoch, log.recovery_point) == (0, 50, 2, 50)
    assert bench.records() == before


@pytest.mark.parametrize("suffix", [".index", ".timeindex"])
@pytest.mark.parametrize("damage", ["missing", "short", "empty", "garbled", "beyond"])
@pytest.mark.parametrize("clean", [True, False])
def test_reads_are_right_whatever_has_happened_to_an_index(
    bench: LogBench, suffix: str, damage: str, *, clean: bool
) -> None:
    """Missing, short, empty or garbled: indexes are rebuilt, and every offset and timestamp is found."""
    bench.configure(segment_bytes=5000, index_interval_bytes=300)
    for n in range(100):
        bench.append(b"x" * 100, timestamp=NOW + n)
    bench.log.close(clean=clean)
    for name in bench.file_names(suffix):
        path = bench.directory / name
        content = path.read_bytes()
        match damage:
            case "missing":
                path.unlink()
            case "short":
                path.write_bytes(content[:-3])
            case "empty":
                path.write_bytes(b"")
            case "garbled":
                # The last entry stays, so that only reading by it tells.
                middle = bytearray(content)
                middle[6:8] = b"\x00\x33"
                path.write_bytes(middle)
            case _:
                path.write_bytes(content + b"\x00\x00\x00\x70\x7f\xff\xff\xff" * 3)
    bench.open(clean=clean)
    assert len(bench.values()) == 100
    assert [len(bench.records(offset)) for offset in range(100)] == list(range(100, 0, -1))
    if not (suffix == ".timeindex" and damage in {"garbled", "beyond"}):
        found = [bench.log.offset_for_timestamp(NOW + n) for n in range(100)]
        assert [place and place.offset for place in found] == list(range(100))


def test_a_clean_mark_on_a_torn_file_is_not_believed(bench: LogBench) -> None:
    """A file that does not end with a whole batch is recovered, mark or no mark."""
    bench.append(b"a")
    bench.append(b"b")
    bench.log.close(clean=True)
    path = bench.directory / ACTIVE
    path.write_bytes(path.read_bytes()[:-5])
    bench.open(clean=True)
    assert bench.values() == [b"a"]
    assert bench.append(b"c").base_offset == 1


def test_leftovers_of_deletions_and_unfinished_files_are_removed(bench: LogBench) -> None:
    """.deleted and .tmp files go, and an index without its .log file."""
    bench.append(b"a")
    bench.log.close(clean=True)
    for name in ("00000000000000000007.log.deleted", "x.tmp", "00000000000000000009.index"):
        (bench.directory / name).write_bytes(b"x")
    bench.open(clean=True)
    assert bench.file_names(".deleted") == []
    assert bench.file_names(".tmp") == []
    assert bench.file_names(".index") == ["00000000000000000000.index"]


def test_a_log_that_lost_all_behind_its_start_starts_there_again(bench: LogBench) -> None:
    """No offset below the log start comes back, and none is given twice."""
    for _ in range(5):
        bench.append(b"a")
    bench.log.delete_records(4)
    bench.log.close(clean=False)
    (bench.directory / ACTIVE).write_bytes(b"")
    log = bench.open(clean=False, log_start_offset=4)
    assert (log.log_start_offset, log.next_offset) == (4, 4)
    assert bench.append(b"b").base_offset == 4


def test_damage_to_what_was_synced_is_said_with_file_and_byte(tmp_path: Path) -> None:
    """A read that meets damaged bytes raises StorageError and never gives them."""
    bench = LogBench(tmp_path, segment_bytes=250)
    for _ in range(4):
        bench.append(b"x" * 50)
    bench.log.close(clean=True)
    path = bench.directory / ACTIVE
    path.write_bytes(b"\xff" * path.stat().st_size)
    bench.open(clean=True)
    with pytest.raises(StorageError, match=r"00000000000000000000\.log.*byte 0"):
        bench.log.read(1, 1000)
    assert bench.values(2) == [b"x" * 50] * 2


@pytest.mark.parametrize("seed", range(10))
def test_what_was_flushed_survives_a_loss_of_power(tmp_path: Path, seed: int) -> None:
    """Whatever part of the rest reached the disk: all that was flushed is there, nothing is there twice or changed."""
    random = Random(seed)
    bench = LogBench(tmp_path, segment_bytes=400)
    written: list[bytes | None] = []
    flushed = 0
    for n in range(40):
        bench.append(b"%d" % n * 20, leader_epoch=n // 10)
        written.append(b"%d" % n * 20)
        if random.random() < 0.1:
            bench.log.flush()
            flushed = len(written)
    recovery_point = bench.log.recovery_point
    bench.log.close(clean=False)
    bench.files.power_loss(bench.directory, random)
    bench.open(clean=False, recovery_point=recovery_point)
    values, values_end = bench.values(), bench.log.next_offset
    assert values[:flushed] == written[:flushed]
    assert values == [value for value in written if value in values]
    assert bench.append(b"more").base_offset == values_end


@pytest.mark.parametrize("torn_by", ["crash", "full disk"])
def test_torn_bytes_that_were_cut_do_not_come_back_in_a_sealed_segment(tmp_path: Path, torn_by: str) -> None:
    """A cut is synced before the segment is trusted: a later loss of power finds the file as it was cut."""
    bench = LogBench(tmp_path)
    bench.append(b"kept")
    bench.log.flush()
    if torn_by == "crash":
        with (bench.directory / ACTIVE).open("ab") as file:
            file.write(b"torn" * 10)
        with_tail = bench.files.open(bench.directory / ACTIVE)
        with_tail.sync()
        with_tail.release()
        bench.kill()
    else:
        bench.files.room = 40
        with pytest.raises(StorageError):
            bench.append(b"lost")
        bench.files.room = None
    bench.log.roll()
    bench.log.flush()
    bench.log.close(clean=False)
    bench.files.power_loss(bench.directory)
    bench.open(clean=False, recovery_point=1)
    assert bench.values() == [b"kept"]
