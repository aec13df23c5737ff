"""What a restart finds: groups without a rebalance, offsets as they were, and a log that stays short."""

from collections.abc import Iterator

import pytest

from broker.clock import ManualClock
from broker.errors import ErrorCode, KafkaError
from broker.groups import CommitRequest, LogRecord, OffsetToCommit
from broker.groups.journal import Journal
from broker.groups.records import OffsetRecord
from broker.groups.values import CommittedOffset
from broker.identifiers import TopicPartition
from tests.broker.groups.harness import SESSION_MS, Client, MemoryLog, World, stable

P0 = TopicPartition("t", 0)


def _commit(world: World, offset: int) -> None:
    request = CommitRequest(group_id="g", offsets={P0: OffsetToCommit(offset, 1, "m")})
    assert world.coordinator.commit_offsets(request)[P0] is ErrorCode.NONE


def test_a_restart_is_no_rebalance() -> None:
    """Members go on in their generation, with their assignments and a new session."""
    world = World()
    dynamic, static = Client(world, "a"), Client(world, "b", instance_id="i")
    stable(world, dynamic, static)
    world.restart()
    assert [client.heartbeat() for client in (dynamic, static)] == [ErrorCode.NONE, ErrorCode.NONE]
    assert dynamic.sync().syncs[-1].assignment == b"a"
    assert Client(world, "b", instance_id="i").join().sync().syncs[-1].assignment == b"b"
    assert world.state() == "Stable"


def test_sessions_begin_at_the_restart() -> None:
    """A member that died with the broker is lost one session after the start, not at it."""
    world = World()
    client = Client(world)
    stable(world, client)
    world.clock.advance_ms(10 * SESSION_MS)
    world.restart()
    world.advance(SESSION_MS - 1)
    assert world.state() == "Stable"
    world.advance(1)
    assert world.state() == "Empty"


def test_generations_go_on_after_a_restart() -> None:
    """The next generation is one that nobody had before the restart."""
    world = World()
    client = Client(world)
    stable(world, client)
    client.leave()
    world.restart()
    assert world.state() == "Empty"
    assert Client(world).join().generation == 3


def test_a_restart_in_the_middle_of_a_rebalance_goes_back_to_the_stored_generation() -> None:
    """The generation that nobody was assigned is begun again."""
    world = World()
    first, second = Client(world, "a"), Client(world, "b")
    stable(world, first)
    second.join()
    world.restart()
    assert first.heartbeat() is ErrorCode.NONE
    assert second.heartbeat() is ErrorCode.UNKNOWN_MEMBER_ID


def test_committed_offsets_survive_and_deleted_ones_stay_deleted() -> None:
    """The newest commit wins; a deleted group is gone for good."""
    world = World()
    for offset in (3, 9, 7):
        _commit(world, offset)
    world.restart()
    assert world.coordinator.fetch_offsets("g", [P0]).offsets[P0].offset == 7
    assert world.coordinator.delete("g") is ErrorCode.NONE
    world.restart()
    assert world.coordinator.describe("g") is None
    assert world.coordinator.fetch_offsets("g", None).offsets == {}


def test_an_assignment_that_cannot_be_stored_is_not_handed_out() -> None:
    """A full disk sends the members back to joining; with room again the group becomes stable."""
    world = World()
    client = Client(world).join()
    world.log.refuses = True
    client.sync({client.member_id: b"x"})
    assert client.syncs[-1].error is ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert client.heartbeat() is ErrorCode.REBALANCE_IN_PROGRESS
    world.log.refuses = False
    client.join().sync({client.member_id: b"y"})
    assert (client.syncs[-1].assignment, world.state()) == (b"y", "Stable")


def _records(count: int, offset: int) -> list[OffsetRecord]:
    return [
        OffsetRecord("g", TopicPartition("t", number), CommittedOffset(offset, -1, "", 0)) for number in range(count)
    ]


def test_the_log_is_rewritten_when_it_is_much_longer_than_what_it_says() -> None:
    """A million commits on three partitions are not replayed at the next start."""
    log = MemoryLog()
    journal = Journal(log, ManualClock(), rewrite_slack=100)
    for offset in range(1_000):
        journal.write(_records(3, offset))
    assert len(log.records) <= 4 * 3 + 100 + 3
    again = Journal(log, ManualClock())
    assert again.load().offsets == 3
    assert {each.offset for each in again.offsets.of("g").values()} == {999}


class DyingLog(MemoryLog):
    """Dies at the n-th write of a rewrite."""

    def __init__(self, writes_left: int) -> None:
        super().__init__()
        self.writes_left = writes_left

    def discard_before(self, offset: int) -> None:
        self._count()
        super().discard_before(offset)

    def append(self, records: list[LogRecord], timestamp_ms: int) -> int:  # type: ignore[override]
        self._count()
        return super().append(records, timestamp_ms)

    def _count(self) -> None:
        self.writes_left -= 1
        if self.writes_left < 0:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "gone")


@pytest.mark.parametrize("writes", range(1, 60))
def test_a_crash_anywhere_in_a_rewrite_loses_nothing(writes: int) -> None:
    """Old records, half a snapshot, a whole one with the old records still there: the newest value is always found."""
    log = DyingLog(writes)
    journal = Journal(log, ManualClock(), rewrite_slack=20)
    acknowledged = -1
    for offset in range(50):
        try:
            journal.write(_records(2, offset))
        except KafkaError:
            break
        acknowledged = offset
    again = Journal(log, ManualClock())
    again.load()
    assert {each.offset for each in again.offsets.of("g").values()} <= {acknowledged}
    assert len(again.offsets) == (2 if acknowledged >= 0 else 0)


def test_a_rewrite_that_fails_is_tried_again_later() -> None:
    """A full disk during a rewrite neither fails the commit nor makes every later one try."""
    log = MemoryLog()
    journal = Journal(log, ManualClock(), rewrite_slack=10)
    for offset in range(8):
        journal.write(_records(1, offset))
    kept = log.discard_before
    refused: list[int] = []

    def refuse(offset: int) -> None:
        refused.append(offset)
        raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no space")

    log.discard_before = refuse  # type: ignore[method-assign]
    for offset in range(8, 30):
        journal.write(_records(1, offset))
    assert 1 <= len(refused) <= 3
    log.discard_before = kept  # type: ignore[method-assign]
    for offset in range(30, 90):
        journal.write(_records(1, offset))
    assert len(log.records) < 30


def test_unreadable_records_are_passed_over_and_counted() -> None:
    """A record of a newer kind, or of garbage, hides nothing behind it."""

    def replay() -> Iterator[LogRecord]:
        yield LogRecord(b"\x00\x01\x00", b"")
        yield LogRecord(b"\x00\x0bwhatever", b"x")
        yield from log.records

    log = MemoryLog()
    Journal(log, ManualClock()).write(_records(1, 4))
    reader = MemoryLog()
    reader.replay = replay  # type: ignore[method-assign]
    report = Journal(reader, ManualClock()).load()
    assert (report.records, report.unreadable, report.offsets) == (3, 1, 1)
