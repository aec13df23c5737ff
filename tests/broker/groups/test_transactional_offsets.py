"""Offsets that transactions stage: when they count, and what must not touch them."""

from collections.abc import Iterable

import pytest

from broker.errors import ErrorCode
from broker.groups import CommitRequest, OffsetToCommit, Writer
from broker.identifiers import TopicPartition
from broker.records import Marker, MarkerKind
from tests.broker.groups.harness import World

P = TopicPartition("orders", 0)
Q = TopicPartition("orders", 1)
ONE, TWO = Writer(1, 0), Writer(2, 0)
WEEK_MS = 7 * 86_400_000


@pytest.fixture
def world() -> World:
    return World()


def request(offset: int, partition: TopicPartition = P, metadata: str = "") -> CommitRequest:
    return CommitRequest(group_id="g", offsets={partition: OffsetToCommit(offset, metadata=metadata)})


def stage(world: World, writer: Writer, offset: int, partition: TopicPartition = P, metadata: str = "") -> ErrorCode:
    return world.coordinator.commit_in_transaction(request(offset, partition, metadata), writer)[partition]


def end(world: World, writer: Writer, kind: MarkerKind = MarkerKind.COMMIT) -> None:
    world.coordinator.end_transaction(writer, Marker(kind, 0))


def offset(world: World, partition: TopicPartition = P) -> int | None:
    found = world.coordinator.fetch_offsets("g", [partition]).offsets.get(partition)
    return None if found is None else found.offset


def unstable(world: World) -> Iterable[TopicPartition]:
    return world.coordinator.fetch_offsets("g", None).unstable


@pytest.mark.parametrize("restart", [False, True])
def test_a_staged_offset_counts_from_its_commit_on(world: World, restart: bool) -> None:
    """Over a restart as well; one that is aborted never counts."""
    stage(world, ONE, 5)
    stage(world, TWO, 6, Q)
    if restart:
        world.restart()
    assert (offset(world), offset(world, Q)) == (None, None)
    assert unstable(world) == {P, Q}
    end(world, ONE)
    end(world, TWO, MarkerKind.ABORT)
    if restart:
        world.restart()
    assert (offset(world), offset(world, Q)) == (5, None)
    assert unstable(world) == set()


def test_the_newest_write_wins_by_its_place_in_the_log(world: World) -> None:
    """A slow transaction does not take a group back, neither behind another transaction nor behind a plain commit."""
    stage(world, ONE, 5)
    stage(world, TWO, 7)
    end(world, TWO)
    end(world, ONE)
    assert offset(world) == 7
    stage(world, ONE, 8)
    world.coordinator.commit_offsets(request(9))
    assert unstable(world) == {P}
    end(world, ONE)
    assert offset(world) == 9
    world.restart()
    assert offset(world) == 9


def test_a_commit_within_the_later_transaction_does_not_touch_what_was_staged_behind_it(world: World) -> None:
    """The earlier one ends first, the later one still counts."""
    stage(world, ONE, 5)
    stage(world, TWO, 7)
    end(world, ONE)
    assert offset(world) == 5
    end(world, TWO)
    assert offset(world) == 7


def test_retention_does_not_expire_an_offset_that_an_open_transaction_has_staged(world: World) -> None:
    """Nor the group that has nothing else."""
    world.coordinator.commit_offsets(request(5))
    stage(world, ONE, 6)
    stage(world, TWO, 1, Q)
    world.advance(WEEK_MS + 3_600_000)
    assert offset(world) == 5
    end(world, ONE)
    end(world, TWO)
    assert (offset(world), offset(world, Q)) == (6, 1)


def test_a_group_that_only_has_staged_offsets_is_there(world: World) -> None:
    """After a restart too; when its transaction is aborted, the next cleaning takes it."""
    stage(world, ONE, 5)
    world.restart()
    assert world.state() == "Empty"
    end(world, ONE, MarkerKind.ABORT)
    world.advance(3_600_000)
    assert world.state() == "Dead"


@pytest.mark.parametrize("how", ["topic deleted", "group deleted"])
def test_what_is_deleted_does_not_come_back_with_a_commit(world: World, how: str) -> None:
    """A transaction that was open meanwhile commits nothing there."""
    world.coordinator.commit_offsets(request(5))
    stage(world, ONE, 6)
    stage(world, ONE, 6, Q)
    if how == "topic deleted":
        world.coordinator.topic_deleted("orders")
    else:
        assert world.coordinator.delete("g") is ErrorCode.NONE
    end(world, ONE)
    assert (offset(world), offset(world, Q)) == (None, None)
    world.restart()
    assert (offset(world), offset(world, Q)) == (None, None)


def test_a_rewriting_of_the_log_keeps_what_is_staged(world: World) -> None:
    """In the order of its writing, each in its transaction."""
    stage(world, ONE, 5)
    stage(world, TWO, 7)
    for number in range(11_000):
        world.coordinator.commit_offsets(request(number, Q))
    assert world.log.start_offset > 0
    world.restart()
    assert unstable(world) == {P}
    end(world, TWO)
    end(world, ONE)
    assert (offset(world), offset(world, Q)) == (7, 10_999)


def test_a_refusing_log_stages_nothing(world: World) -> None:
    """COORDINATOR_NOT_AVAILABLE; the end of a transaction is tried again by its coordinator."""
    world.log.refuses = True
    assert stage(world, ONE, 5) is ErrorCode.COORDINATOR_NOT_AVAILABLE
    world.log.refuses = False
    assert unstable(world) == set()
    assert stage(world, ONE, 5, metadata="x" * 5000) is ErrorCode.OFFSET_METADATA_TOO_LARGE
