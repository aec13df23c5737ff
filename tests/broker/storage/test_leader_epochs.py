"""Leader epochs: where each began and ended."""

from pathlib import Path

import pytest

from tests.broker.storage.bench import LogBench


@pytest.fixture
def filled(bench: LogBench) -> LogBench:
    """Epoch 2 from offset 0, epoch 5 from 3, epoch 6 from 5 to 9."""
    for leader_epoch, count in ((2, 3), (5, 2), (6, 4)):
        for _ in range(count):
            bench.append(leader_epoch=leader_epoch)
    return bench


ENDS = {-1: (-1, -1), 0: (0, 0), 2: (2, 3), 3: (2, 3), 4: (2, 3), 5: (5, 5), 6: (6, 9), 7: (-1, -1)}


@pytest.mark.parametrize("restart", ["none", "clean", "kill", "file lost", "file garbled"])
def test_the_end_of_every_epoch_is_known(filled: LogBench, restart: str) -> None:
    """As KIP-101 and KIP-279 say, live and after any restart."""
    checkpoint = filled.directory / "leader-epoch-checkpoint"
    match restart:
        case "clean":
            filled.restart()
        case "kill":
            filled.kill()
        case "file lost":
            checkpoint.unlink()
            filled.kill(recovery_point=0)
        case "file garbled":
            filled.log.close(clean=True)
            checkpoint.write_text("0\n3\n5 3\n2 0\n")
            filled.open(clean=True)
        case _:
            pass
    assert {epoch: tuple(filled.log.end_offset_for_epoch(epoch)) for epoch in ENDS} == ENDS
    assert [filled.log.leader_epoch_at(offset) for offset in (0, 2, 3, 5, 8)] == [2, 2, 5, 6, 6]


def test_the_checkpoint_file_is_kafkas(filled: LogBench) -> None:
    """Version, count, a row per epoch."""
    text = (filled.directory / "leader-epoch-checkpoint").read_text()
    assert text == "0\n3\n2 0\n5 3\n6 5\n"


def test_truncation_forgets_the_epochs_behind_it(filled: LogBench) -> None:
    """The epoch that was cut begins again where it is written next."""
    filled.log.truncate_to(4)
    assert filled.log.leader_epoch == 5
    filled.append(leader_epoch=7)
    assert (filled.directory / "leader-epoch-checkpoint").read_text() == "0\n3\n2 0\n5 3\n7 4\n"


def test_deleted_records_take_their_epochs_with_them(filled: LogBench) -> None:
    """The first epoch that is left begins at the log start, before and after a restart; the file learns of it later."""
    filled.log.delete_records(4)
    assert tuple(filled.log.end_offset_for_epoch(3)) == (3, 4)
    assert tuple(filled.kill().end_offset_for_epoch(3)) == (3, 4)
    filled.append(leader_epoch=7)
    assert (filled.directory / "leader-epoch-checkpoint").read_text() == "0\n3\n5 4\n6 5\n7 9\n"


def test_an_epoch_that_wrote_nothing_leaves_no_row(bench: LogBench, tmp_path: Path) -> None:
    """A refused append may have announced an epoch; the next one takes its place."""
    bench.append(leader_epoch=1)
    bench.files.room = 20
    with pytest.raises(Exception, match="No space"):
        bench.append(leader_epoch=2)
    bench.files.room = None
    bench.append(leader_epoch=3)
    assert (bench.directory / "leader-epoch-checkpoint").read_text() == "0\n2\n1 0\n3 1\n"
