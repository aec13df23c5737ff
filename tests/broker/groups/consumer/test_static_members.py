"""Members with an instance id, which come back."""

import pytest

from broker.errors import ErrorCode
from tests.broker.groups.consumer.harness import SESSION_MS, Consumer, ConsumerWorld, settle


@pytest.fixture
def world() -> ConsumerWorld:
    return ConsumerWorld()


def test_a_static_member_that_comes_back_finds_its_partitions(world: ConsumerWorld) -> None:
    """It left with -2; another process under its instance id takes its place without a rebalance."""
    first, other = Consumer(world, "1", instance_id="i"), Consumer(world, "2")
    settle(first, other)
    had, epochs = first.has(), world.epochs()
    assert first.leave(epoch=-2).member_epoch == -2
    again = Consumer(world, "3", instance_id="i")
    again.join()
    assert (again.has(), world.epochs()) == (had, epochs)
    assert other.beat().member_epoch == epochs[0]
    assert first.send(epoch=2).error is ErrorCode.FENCED_INSTANCE_ID


def test_an_instance_id_is_not_free_before_its_member_has_left(world: ConsumerWorld) -> None:
    """Two processes were given the same: the second one is refused, not the first."""
    first, second = Consumer(world, "1", instance_id="i"), Consumer(world, "2", instance_id="i")
    first.join()
    assert second.join().error is ErrorCode.UNRELEASED_INSTANCE_ID
    assert first.beat().error is ErrorCode.NONE
    world.advance(SESSION_MS)
    assert second.join().error is ErrorCode.NONE


def test_a_static_member_that_stays_away_is_out_after_its_session(world: ConsumerWorld) -> None:
    """Its partitions are kept for it until then."""
    first, other = Consumer(world, "1", instance_id="i"), Consumer(world, "2")
    settle(first, other)
    first.leave(epoch=-2)
    world.advance(SESSION_MS - 1)
    other.beat()
    assert len(other.has()) == 2
    world.advance(1)
    settle(other)
    assert other.has() == [0, 1, 2, 3]


def test_a_static_member_may_leave_for_good(world: ConsumerWorld) -> None:
    """With -1, as everybody."""
    first, other = Consumer(world, "1", instance_id="i"), Consumer(world, "2")
    settle(first, other)
    assert first.leave().error is ErrorCode.NONE
    settle(other)
    assert other.has() == [0, 1, 2, 3]


def test_only_its_own_member_speaks_for_an_instance(world: ConsumerWorld) -> None:
    """Heartbeats and goodbyes of others are fenced."""
    first = Consumer(world, "1", instance_id="i")
    first.join()
    impostor = Consumer(world, "2", instance_id="i")
    assert impostor.send(epoch=1).error is ErrorCode.FENCED_INSTANCE_ID
    assert impostor.send(epoch=-2).error is ErrorCode.FENCED_INSTANCE_ID
    assert Consumer(world, "2", instance_id="j").send(epoch=1).error is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_static_member_in_the_middle_of_a_revocation_may_leave_and_come_back(world: ConsumerWorld) -> None:
    """What it had to give up is free: the process that had it is gone."""
    first, second = Consumer(world, "1", instance_id="i"), Consumer(world, "2")
    first.join()
    second.join()
    first.send(owned=first.owned)
    first.leave(epoch=-2)
    again = Consumer(world, "3", instance_id="i")
    settle(again, second)
    assert sorted(again.has() + second.has()) == [0, 1, 2, 3]
    assert len(again.has()) == 2
