"""Whose commits count in a consumer group, and how long they are kept."""

import pytest

from broker.errors import ErrorCode
from broker.groups import CommitRequest, OffsetToCommit, Writer
from broker.identifiers import TopicPartition
from tests.broker.groups.consumer.harness import Consumer, ConsumerWorld, settle

P0, P3 = TopicPartition("t", 0), TopicPartition("t", 3)


@pytest.fixture
def world() -> ConsumerWorld:
    return ConsumerWorld()


def commit(
    world: ConsumerWorld, member_id: str, epoch: int, partition: TopicPartition = P0, *, v9: bool = True
) -> ErrorCode:
    request = CommitRequest(
        group_id="g",
        member_id=member_id,
        generation=epoch,
        knows_member_epochs=v9,
        offsets={partition: OffsetToCommit(7)},
    )
    return world.coordinator.commit_offsets(request)[partition]


def test_a_member_commits_in_its_epoch(world: ConsumerWorld) -> None:
    """A later one is stale, a stranger unknown, and before v9 no answer could say so."""
    Consumer(world).join()
    assert commit(world, "c", 2) is ErrorCode.NONE
    assert commit(world, "c", 3) is ErrorCode.STALE_MEMBER_EPOCH
    assert commit(world, "x", 2) is ErrorCode.UNKNOWN_MEMBER_ID
    assert commit(world, "", -1) is ErrorCode.UNKNOWN_MEMBER_ID
    assert commit(world, "c", 2, v9=False) is ErrorCode.UNSUPPORTED_VERSION


def test_a_commit_of_an_earlier_epoch_counts_for_what_was_owned_then(world: ConsumerWorld) -> None:
    """KIP-1251: the epoch has risen while the commit was on its way."""
    first, second = Consumer(world, "1"), Consumer(world, "2")
    settle(first, second)
    kept, given = TopicPartition("t", first.has()[0]), TopicPartition("t", second.has()[0])
    assert first.epoch == second.epoch == 3
    assert commit(world, "1", 2, kept) is ErrorCode.NONE
    assert commit(world, "2", 2, given) is ErrorCode.STALE_MEMBER_EPOCH
    assert commit(world, "1", 2, given) is ErrorCode.STALE_MEMBER_EPOCH


def test_a_transaction_stages_for_members_of_the_epoch_and_for_who_names_nobody(world: ConsumerWorld) -> None:
    """TxnOffsetCommit: the producer's own epoch fences one that says nothing of the group (before KIP-447)."""
    Consumer(world).join()

    def staged(member_id: str, epoch: int) -> ErrorCode:
        request = CommitRequest(group_id="g", member_id=member_id, generation=epoch, offsets={P0: OffsetToCommit(7)})
        return world.coordinator.commit_in_transaction(request, Writer(1, 0))[P0]

    assert staged("", -1) is ErrorCode.NONE
    assert staged("c", 2) is ErrorCode.NONE
    assert staged("c", 1) is ErrorCode.STALE_MEMBER_EPOCH
    assert staged("x", 2) is ErrorCode.UNKNOWN_MEMBER_ID


def test_an_empty_group_takes_commits_of_administrators(world: ConsumerWorld) -> None:
    """Without member and epoch; as reset-offsets does it."""
    consumer = Consumer(world)
    consumer.join()
    consumer.leave()
    assert commit(world, "", -1) is ErrorCode.NONE
    assert world.coordinator.fetch_offsets("g", [P0]).offsets[P0].offset == 7


def test_a_group_that_is_not_there_is_said_to_be_so_from_v9(world: ConsumerWorld) -> None:
    """Before that, a generation of no group is illegal."""
    assert commit(world, "c", 3) is ErrorCode.GROUP_ID_NOT_FOUND
    assert commit(world, "c", 3, v9=False) is ErrorCode.ILLEGAL_GENERATION


def test_offsets_are_told_to_members_of_the_epoch_and_to_nobodies(world: ConsumerWorld) -> None:
    """OffsetFetch v9 may name a member; then it has to be one."""
    Consumer(world).join()
    assert world.coordinator.refuse_fetch("g", None, -1) is ErrorCode.NONE
    assert world.coordinator.refuse_fetch("g", "c", 2) is ErrorCode.NONE
    assert world.coordinator.refuse_fetch("g", "c", 0) is ErrorCode.STALE_MEMBER_EPOCH
    assert world.coordinator.refuse_fetch("g", "x", 1) is ErrorCode.UNKNOWN_MEMBER_ID


def test_offsets_of_subscribed_topics_stay_and_others_expire() -> None:
    """A minute after the commit, here; then the empty group goes as well."""
    world = ConsumerWorld(offsets_retention_minutes="1", offsets_retention_check_interval_ms="10000")
    consumer = Consumer(world)
    consumer.join()
    assert commit(world, "c", 2) is ErrorCode.NONE
    for _ in range(20):
        world.advance(10_000)
        consumer.beat()
    assert world.coordinator.fetch_offsets("g", None).offsets.keys() == {P0}
    consumer.leave()
    world.advance(10_000)
    assert world.coordinator.fetch_offsets("g", None).offsets == {}
    assert world.coordinator.list_groups() == []


def test_offsets_in_use_cannot_be_deleted(world: ConsumerWorld) -> None:
    """OffsetDelete: GROUP_SUBSCRIBED_TO_TOPIC, by name or by expression."""
    world.topics.put("u", 1)
    Consumer(world, topics=None, regex="t").join()
    assert commit(world, "c", 2) is ErrorCode.NONE
    error, outcome = world.coordinator.delete_offsets("g", [P0, TopicPartition("u", 0)])
    assert error is ErrorCode.NONE
    assert outcome == {P0: ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC, TopicPartition("u", 0): ErrorCode.NONE}
