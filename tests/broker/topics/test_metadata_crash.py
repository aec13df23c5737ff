"""The metadata log over losses of power and disks that refuse: what was answered is there, what was refused is not."""

import errno
from pathlib import Path
from random import Random

import pytest

from broker.identifiers import new_topic_id
from broker.storage.errors import StorageError
from broker.topics.metadata_log import REWRITE_LINES_MIN, MetadataLog, MetadataState
from broker.topics.metadata_records import (
    ConfigsReplaced,
    EpochBegun,
    MetadataRecord,
    PartitionsAdded,
    ProducerIdsReserved,
    TopicCreated,
    TopicDeleted,
    encode_line,
)
from tests.broker.storage.compacting import Crash, CrashingFileSystem
from tests.broker.storage.faulty_files import FaultyFileSystem


def records(count: int, random: Random) -> list[MetadataRecord]:
    """A plausible life of some topics."""
    made: list[TopicCreated] = []
    found: list[MetadataRecord] = []
    for number in range(count):
        choice = random.randrange(6)
        if choice == 0 or not made:
            made.append(TopicCreated(new_topic_id(), f"t{number}", 1 + number % 3, {"retention.ms": str(number)}, 0))
            found.append(made[-1])
        elif choice == 1:
            found.append(PartitionsAdded(random.choice(made).id, 4 + number))
        elif choice == 2:
            found.append(ConfigsReplaced(random.choice(made).id, {"cleanup.policy": "compact"}))
        elif choice == 3:
            gone = made.pop(random.randrange(len(made)))
            found.append(TopicDeleted(gone.id, gone.name))
        else:
            found.append(ProducerIdsReserved(1000 * number) if choice == 4 else EpochBegun(number))
    return found


def state_of(records: list[MetadataRecord]) -> MetadataState:
    state = MetadataState()
    for record in records:
        state.apply(record)
    return state


def reopen(directory: Path, files: FaultyFileSystem) -> MetadataState:
    log, state = MetadataLog.open(directory, files=files)
    log.close()
    return state


@pytest.mark.parametrize("seed", range(25))
def test_what_was_appended_survives_a_loss_of_power(tmp_path: Path, seed: int) -> None:
    """Whatever of the rest reached the disk; and the log is written on behind it."""
    random, files = Random(seed), FaultyFileSystem()
    done = records(random.randint(1, 20), random)
    log, _ = MetadataLog.open(tmp_path, files=files)
    for record in done:
        log.append([record])
    # A line that is on its way when the power goes: written, and not synced.
    log._file.write_at(log._size, b"0123abcd {half a line" + b"\n" * random.randint(0, 1))
    log.close()
    files.power_loss(tmp_path, random)
    assert reopen(tmp_path, files) == state_of(done)
    log, _ = MetadataLog.open(tmp_path, files=files)
    log.append([EpochBegun(99)])
    log.close()
    files.power_loss(tmp_path)
    assert reopen(tmp_path, files) == state_of([*done, EpochBegun(99)])


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_a_rewrite_that_is_crashed_at_any_operation_leaves_the_old_log_or_the_new_one(
    tmp_path: Path, seed: int | None
) -> None:
    """Every operation in turn, with a kill and with a loss of power."""
    many: list[MetadataRecord] = [*records(30, Random(7)), *map(ProducerIdsReserved, range(2 * REWRITE_LINES_MIN))]
    expected = state_of(many)
    live = MetadataState()
    for record in expected.records():
        live.apply(record)
    for operation in range(20):
        files = CrashingFileSystem()
        directory = tmp_path / str(operation)
        directory.mkdir()
        log, _ = MetadataLog.open(directory, files=files)
        log.append(many)
        files.operations_left = operation
        try:
            log.rewrite(expected)
            got_through = True
        except Crash:
            got_through = False
        files.operations_left = None
        log.close()
        if seed is not None:
            files.power_loss(directory, Random(seed))
        state = reopen(directory, files)
        assert state in (expected, live)
        if got_through:
            assert operation > 3
            return
    raise AssertionError("a rewrite takes more than 20 operations")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("room", [0, 1, 30])
def test_a_record_that_is_refused_is_not_there(tmp_path: Path, error: int, room: int) -> None:
    """Neither now nor after a restart; when the disk takes writes again, the next one is."""
    files = FaultyFileSystem()
    log, _ = MetadataLog.open(tmp_path, files=files)
    log.append([EpochBegun(1)])
    files.room, files.write_error = room, error
    with pytest.raises(StorageError):
        log.append([EpochBegun(2)])
    files.room = None
    assert reopen(tmp_path, files) == state_of([EpochBegun(1)])
    log.append([EpochBegun(3)])
    log.close()
    assert reopen(tmp_path, files) == state_of([EpochBegun(1), EpochBegun(3)])


def test_a_line_that_could_not_be_cut_off_is_cut_before_the_next(tmp_path: Path) -> None:
    """Else a shorter line would be followed by the rest of it, and the log would not be sound any more."""
    files = FaultyFileSystem()
    log, _ = MetadataLog.open(tmp_path, files=files)
    log.append([EpochBegun(1)])
    files.room, files.truncate_error = 60, errno.ENOSPC
    with pytest.raises(StorageError):
        log.append([TopicCreated(new_topic_id(), "t" * 200, 1, {}, 0)])
    with pytest.raises(StorageError):
        log.append([EpochBegun(2)])
    files.room = files.truncate_error = None
    log.append([EpochBegun(3)])
    log.close()
    assert reopen(tmp_path, files) == state_of([EpochBegun(1), EpochBegun(3)])


def test_a_line_that_a_kill_has_left_does_not_go_with_a_later_loss_of_power(tmp_path: Path) -> None:
    """The start has read it, and topics have been served by it."""
    files = FaultyFileSystem()
    log, _ = MetadataLog.open(tmp_path, files=files)
    log.append([EpochBegun(1)])
    log._file.write_at(log._size, encode_line(EpochBegun(2)))
    log.close()
    assert reopen(tmp_path, files).epoch == 2
    files.power_loss(tmp_path)
    assert reopen(tmp_path, files).epoch == 2


def test_after_a_failed_fsync_no_record_is_taken_until_the_broker_starts_again(tmp_path: Path) -> None:
    """Nobody knows what the disk has; a second fsync would say that all is well."""
    files = FaultyFileSystem()
    log, _ = MetadataLog.open(tmp_path, files=files)
    log.append([EpochBegun(1)])
    files.sync_error = errno.EIO
    with pytest.raises(StorageError):
        log.append([EpochBegun(2)])
    files.sync_error = None
    with pytest.raises(StorageError, match="until the broker starts again"):
        log.append([EpochBegun(3)])
    log.close()
    log, _ = MetadataLog.open(tmp_path, files=files)
    log.append([EpochBegun(3)])
    log.close()
    files.power_loss(tmp_path)
    assert reopen(tmp_path, files).epoch == 3
