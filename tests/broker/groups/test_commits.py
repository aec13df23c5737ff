"""Committed offsets: who may commit, what is kept, and for how long."""

import pytest

from broker.errors import ErrorCode
from broker.groups import CommitRequest, CommittedOffset, OffsetToCommit
from broker.identifiers import TopicPartition
from tests.broker.groups.harness import Client, World, stable

P0, P1 = TopicPartition("t", 0), TopicPartition("t", 1)
DAY_MS = 24 * 60 * 60 * 1000


def commit(world: World, offset: int = 5, client: Client | None = None, generation: int | None = None) -> ErrorCode:
    request = CommitRequest(
        group_id="g",
        member_id=client.member_id if client else "",
        instance_id=client.instance_id if client else None,
        generation=generation if generation is not None else client.generation if client else -1,
        offsets={P0: OffsetToCommit(offset, 3, "note")},
    )
    return world.coordinator.commit_offsets(request)[P0]


def committed(world: World) -> CommittedOffset | None:
    return world.coordinator.fetch_offsets("g", [P0, P1]).offsets.get(P0)


def test_a_commit_is_read_back_with_its_metadata_and_epoch() -> None:
    """What was committed comes back whole; a partition without a commit is absent."""
    world = World()
    assert commit(world) is ErrorCode.NONE
    now_ms = world.clock.now_ms()
    assert world.coordinator.fetch_offsets("g", [P0, P1]).offsets == {P0: CommittedOffset(5, 3, "note", now_ms)}
    assert world.coordinator.fetch_offsets("g", None).offsets.keys() == {P0}
    assert world.coordinator.fetch_offsets("other", None).offsets == {}


def test_a_member_of_the_generation_commits_and_others_do_not() -> None:
    """Old generations and strangers are refused while the group has members."""
    world = World()
    client = Client(world)
    stable(world, client)
    assert commit(world, 5, client) is ErrorCode.NONE
    assert commit(world, 6, client, generation=0) is ErrorCode.ILLEGAL_GENERATION
    assert commit(world, 7) is ErrorCode.UNKNOWN_MEMBER_ID
    client.member_id = "nobody"
    assert commit(world, 8, client) is ErrorCode.UNKNOWN_MEMBER_ID
    stored = committed(world)
    assert stored is not None
    assert stored.offset == 5


def test_a_generation_of_a_group_that_is_not_there_is_refused() -> None:
    """A member of a forgotten group must not bring it back with its commit."""
    world = World()
    assert commit(world, generation=4) is ErrorCode.ILLEGAL_GENERATION
    assert world.coordinator.describe("g") is None


def test_a_replaced_static_member_cannot_commit() -> None:
    """A zombie's offsets must not move the group back."""
    world = World()
    zombie = Client(world, instance_id="i")
    stable(world, zombie)
    Client(world, instance_id="i").join()
    assert commit(world, 1, zombie) is ErrorCode.FENCED_INSTANCE_ID


def test_commits_during_a_rebalance_count_until_the_new_generation_begins() -> None:
    """While members join, the old generation commits what it has done; then it has to wait for its assignment."""
    world = World()
    first, second = Client(world, "a"), Client(world, "b")
    stable(world, first)
    second.join()
    assert commit(world, 9, first) is ErrorCode.NONE
    first.join()
    assert commit(world, 10, first) is ErrorCode.REBALANCE_IN_PROGRESS


def test_a_commit_is_a_sign_of_life() -> None:
    """A member that only commits keeps its session."""
    world = World()
    client = Client(world)
    stable(world, client)
    for _ in range(3):
        world.advance(9_999)
        assert commit(world, 1, client) is ErrorCode.NONE


@pytest.mark.parametrize(("length", "error"), [(4096, ErrorCode.NONE), (4097, ErrorCode.OFFSET_METADATA_TOO_LARGE)])
def test_metadata_above_its_limit_is_refused_for_its_partition_only(length: int, error: ErrorCode) -> None:
    """offset.metadata.max.bytes counts bytes; the other partitions of the request are committed."""
    world = World()
    request = CommitRequest(
        group_id="g", offsets={P0: OffsetToCommit(1, -1, "x" * length), P1: OffsetToCommit(2, -1, "")}
    )
    assert world.coordinator.commit_offsets(request) == {P0: error, P1: ErrorCode.NONE}
    assert P1 in world.coordinator.fetch_offsets("g", None).offsets


def test_a_commit_that_the_disk_refuses_changes_nothing() -> None:
    """The old offset stays; when there is room again the next commit goes through by itself."""
    world = World()
    commit(world, 5)
    world.log.refuses = True
    assert commit(world, 6) is ErrorCode.COORDINATOR_NOT_AVAILABLE
    stored = committed(world)
    assert stored is not None
    assert stored.offset == 5
    world.log.refuses = False
    assert commit(world, 6) is ErrorCode.NONE


def test_offsets_of_a_group_that_only_commits_expire_after_the_last_commit() -> None:
    """Seven days after a commit of a consumer without members, and not a check earlier."""
    world = World()
    commit(world)
    world.advance(7 * DAY_MS - 1_000_000)
    commit(world, 6)
    world.advance(7 * DAY_MS - 1_000)
    assert committed(world) is not None
    world.advance(600_000 + 1_000)
    assert committed(world) is None
    assert world.coordinator.describe("g") is None


def test_offsets_of_a_left_group_expire_after_it_became_empty() -> None:
    """The time counts from the last member's end, not from the last commit."""
    world = World()
    client = Client(world, session_timeout_ms=1_800_000)
    stable(world, client)
    commit(world, 5, client)
    for _ in range(8 * 50):
        world.advance(DAY_MS // 50)
        assert client.heartbeat() is ErrorCode.NONE
    assert committed(world) is not None
    client.leave()
    world.advance(7 * DAY_MS - 1_000)
    assert committed(world) is not None
    world.advance(601_000)
    assert committed(world) is None


def test_deleting_a_topic_takes_its_commits_along() -> None:
    """A topic created again under the name is not begun in the middle."""
    world = World()
    commit(world)
    world.coordinator.topic_deleted("t")
    assert committed(world) is None
    world.restart()
    assert committed(world) is None
