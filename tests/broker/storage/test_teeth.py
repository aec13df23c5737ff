"""The stateful tests find the faults that they are there for: each is planted, and has to be caught."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from broker.errors import BrokerError, ErrorCode
from broker.records import BatchHeader
from broker.server.transaction_log import PartitionTransactionLog
from broker.storage import PartitionLog, PendingFlush
from broker.storage.cleaner import Cleaner
from broker.storage.compaction import Compaction
from broker.storage.files import OpenFile
from broker.storage.flushing import Flushing
from broker.storage.partition_checkpoints import PartitionCheckpoints
from broker.storage.producer_state import Producers
from broker.storage.segment import Recovered, Segment
from broker.topics import Catalog
from broker.topics.metadata_log import MetadataLog
from tests.broker.handlers.test_loss_of_power import BrokerMachine
from tests.broker.storage.test_compaction_crash import lose_power_torn
from tests.broker.storage.test_compaction_crash import test_a_crash_at_any_operation_loses_nothing as crash_everywhere
from tests.broker.storage.test_compaction_stateful import CompactedLogMachine
from tests.broker.storage.test_log_stateful import LogMachine
from tests.broker.topics.test_successor import (
    test_a_successor_has_nothing_of_its_predecessor_after_a_loss_of_power as make_again,
)

# It ends at the first that is found; how many that takes depends on which modules Hypothesis knows constants of.
SEARCH = settings(
    max_examples=600,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)

Plant = Callable[[pytest.MonkeyPatch], None]


def nothing(*_arguments: object, **_options: object) -> None:
    """In the place of what should be done."""


def no_fsync_before_the_recovery_point(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PendingFlush, "run", nothing)


def no_directory_sync_with_a_flush(patch: pytest.MonkeyPatch) -> None:
    sound = PendingFlush.run

    def run(self: PendingFlush) -> None:
        self._directories = ()
        sound(self)

    patch.setattr(PendingFlush, "run", run)


def recovery_trusts_what_is_there(patch: pytest.MonkeyPatch) -> None:
    def recover(self: Segment, _note_read: Callable[[int], None]) -> Recovered:
        return Recovered(0, 0, 0, self.resume())

    patch.setattr(Segment, "recover", recover)


def recovery_trusts_an_index(patch: pytest.MonkeyPatch) -> None:
    """It believes that the last entry tells where the segment ends."""

    def recover(self: Segment, _note_read: Callable[[int], None]) -> Recovered:
        last = self.indexes()[0].last()
        if last is not None:
            self.file().truncate(last[1])
            self.size = last[1]
        return Recovered(0, 0, 0, self.base_offset if last is None else last[0])

    patch.setattr(Segment, "recover", recover)


def recovery_reads_too_little(patch: pytest.MonkeyPatch) -> None:
    """The recovery point is taken to be one batch further than it is."""
    sound = Flushing.complete

    def complete(self: Flushing, pending: PendingFlush) -> bool:
        moved = sound(self, pending)
        self.recovery_point += 100
        return moved

    patch.setattr(Flushing, "complete", complete)


def a_torn_write_is_left_there(patch: pytest.MonkeyPatch) -> None:
    """The size is taken from the file, whatever of the last write failed."""

    def cut(self: Segment, file: OpenFile) -> None:
        self.size = file.size()
        self._torn = False

    patch.setattr(Segment, "_cut_torn_write", cut)


def a_cut_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    def truncate(self: Segment, size: int, offset: int) -> None:
        self.file().truncate(size)
        self.size = size
        self.indexes()[0].truncate(size)
        self.indexes()[1].truncate(offset)
        self._recount()

    patch.setattr(Segment, "truncate", truncate)


def readers_see_what_is_not_synced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PartitionLog, "high_watermark", property(lambda self: self.next_offset))


def a_duplicate_is_stored(patch: pytest.MonkeyPatch) -> None:
    def check(_self: Producers, _header: BatchHeader) -> None:
        return None

    patch.setattr(Producers, "check", check)


def deleted_records_come_back(patch: pytest.MonkeyPatch) -> None:
    def move(self: PartitionLog, offset: int) -> None:
        self._log_start_offset = max(self._log_start_offset, min(offset, self._segments.active.base_offset))

    patch.setattr(PartitionLog, "_move_log_start", move)


def compaction_drops_the_last_value(patch: pytest.MonkeyPatch) -> None:
    sound = Cleaner._stays

    def stays(self: Cleaner, record: Any, header: BatchHeader) -> bool:
        return sound(self, record, header) and record.key != b"c"

    patch.setattr(Cleaner, "_stays", stays)


def segments_are_replaced_without_a_directory_sync(patch: pytest.MonkeyPatch) -> None:
    sound = Compaction.run

    def run(self: Compaction, *arguments: Callable[[], None]) -> None:
        self.names_changed = False
        sound(self, *arguments)

    patch.setattr(Compaction, "run", run)


def a_topic_shows_before_it_is_on_the_disk(patch: pytest.MonkeyPatch) -> None:
    sound = MetadataLog.append

    class Unsynced:
        def __init__(self, file: OpenFile) -> None:
            self._file = file
            self.sync = nothing

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    def append(self: MetadataLog, records: Any) -> None:
        if not isinstance(self._file, Unsynced):
            self._file = Unsynced(self._file)
        sound(self, records)

    patch.setattr(MetadataLog, "append", append)


def a_topic_is_made_before_its_predecessor_is_gone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Catalog, "_forget_predecessors", nothing)


def log_starts_are_not_written_down(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PartitionCheckpoints, "write", nothing)


def a_decision_is_carried_out_before_it_is_on_the_disk(patch: pytest.MonkeyPatch) -> None:
    def when_durable(_self: PartitionTransactionLog, told: Callable[[ErrorCode], None]) -> None:
        told(ErrorCode.NONE)

    patch.setattr(PartitionTransactionLog, "when_durable", when_durable)


FAULTS: list[tuple[type[RuleBasedStateMachine], Plant]] = [
    (LogMachine, no_fsync_before_the_recovery_point),
    (LogMachine, no_directory_sync_with_a_flush),
    (LogMachine, recovery_trusts_what_is_there),
    (LogMachine, recovery_trusts_an_index),
    (LogMachine, recovery_reads_too_little),
    (LogMachine, a_torn_write_is_left_there),
    (LogMachine, a_cut_is_not_synced),
    (LogMachine, readers_see_what_is_not_synced),
    (LogMachine, a_duplicate_is_stored),
    (LogMachine, deleted_records_come_back),
    (CompactedLogMachine, compaction_drops_the_last_value),
    (BrokerMachine, no_fsync_before_the_recovery_point),
    (BrokerMachine, no_directory_sync_with_a_flush),
    (BrokerMachine, a_topic_shows_before_it_is_on_the_disk),
    (BrokerMachine, log_starts_are_not_written_down),
    (BrokerMachine, a_decision_is_carried_out_before_it_is_on_the_disk),
]


# Rare enough to be hunted in every operation or with many seeds, instead of by chance.
HUNTS: list[tuple[Callable[[Path], None], Plant]] = [
    (
        lambda path: crash_everywhere(path, lose_power_torn, 0),
        segments_are_replaced_without_a_directory_sync,
    ),
    (
        make_again,
        a_topic_is_made_before_its_predecessor_is_gone,
    ),
]


@contextmanager
def planted(plant: Plant) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        yield


@pytest.mark.parametrize(
    ("machine", "plant"), FAULTS, ids=[f"{machine.__name__}-{plant.__name__}" for machine, plant in FAULTS]
)
def test_a_planted_fault_is_found(machine: type[RuleBasedStateMachine], plant: Plant) -> None:
    """By an assertion of the machine, or because the broken storage can no longer be opened or read."""
    with planted(plant), pytest.raises(Exception) as found:  # noqa: PT011  # what it raises is the fault's affair
        run_state_machine_as_test(machine, settings=SEARCH)
    assert not isinstance(found.value, AttributeError | TypeError | NameError), "the fault is in the planting"


@pytest.mark.parametrize(("hunt", "plant"), HUNTS, ids=[plant.__name__ for _, plant in HUNTS])
def test_a_rare_planted_fault_is_found(hunt: Callable[[Path], None], plant: Plant, tmp_path: Path) -> None:
    """By the test that looks at every operation, or at many losses of power."""
    with planted(plant), pytest.raises((AssertionError, BrokerError)):
        hunt(tmp_path)
