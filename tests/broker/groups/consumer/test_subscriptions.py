"""What members are subscribed to, and what happens when that or the topics change."""

import pytest

from broker.errors import ErrorCode
from tests.broker.groups.consumer.harness import Consumer, ConsumerWorld, settle


@pytest.fixture
def world() -> ConsumerWorld:
    return ConsumerWorld()


def test_a_topic_that_appears_is_assigned_with_the_next_heartbeat(world: ConsumerWorld) -> None:
    """A subscription may be ahead of its topic."""
    consumer = Consumer(world, topics={"t", "later"})
    consumer.join()
    later = world.topics.put("later", 2)
    consumer.beat()
    assert consumer.has(later) == [0, 1]
    assert world.epochs() == (3, 3)


def test_a_topic_of_others_begins_no_epoch(world: ConsumerWorld) -> None:
    """Only what somebody is subscribed to counts."""
    consumer = Consumer(world)
    consumer.join()
    world.topics.put("other", 2)
    assert consumer.beat().assignment is None
    assert world.epochs() == (2, 2)


def test_more_partitions_are_assigned(world: ConsumerWorld) -> None:
    """A topic that grew."""
    first, second = Consumer(world, "1"), Consumer(world, "2")
    settle(first, second)
    world.topics.put("t", 6)
    settle(first, second)
    assert sorted(first.has() + second.has()) == [0, 1, 2, 3, 4, 5]
    assert len(first.has()) == 3


def test_a_deleted_topic_is_given_up(world: ConsumerWorld) -> None:
    """And one of the same name that comes later is another one."""
    consumer = Consumer(world)
    consumer.join()
    world.topics.remove("t")
    settle(consumer)
    assert consumer.owned == {}
    again = world.topics.put("t", 1)
    settle(consumer)
    assert consumer.has(again) == [0]
    assert again != world.t


def test_a_member_may_change_what_it_is_subscribed_to(world: ConsumerWorld) -> None:
    """It says so once, and what it no longer wants is given up first."""
    u = world.topics.put("u", 1)
    consumer = Consumer(world)
    consumer.join()
    consumer.take(consumer.send(owned=consumer.owned, topics=frozenset({"u"})))
    settle(consumer)
    assert (consumer.has(), consumer.has(u)) == ([], [0])


def test_a_member_subscribed_to_nothing_is_a_member(world: ConsumerWorld) -> None:
    """It has no partitions and is alive."""
    consumer = Consumer(world, topics=set())
    assert consumer.join().error is ErrorCode.NONE
    assert (consumer.epoch, consumer.owned, world.state()) == (2, {}, "Stable")


def test_an_expression_stands_for_all_topics_that_match_whole(world: ConsumerWorld) -> None:
    """Those that come later as well; internal topics are topics."""
    internal = world.topics.put("__t", 1)
    tt = world.topics.put("tt", 1)
    other = world.topics.put("not", 1)
    consumer = Consumer(world, topics=None, regex="_*t+")
    consumer.join()
    assert (consumer.has(), consumer.has(tt), consumer.has(internal)) == ([0, 1, 2, 3], [0], [0])
    assert consumer.has(other) == []
    ttt = world.topics.put("ttt", 1)
    consumer.beat()
    assert consumer.has(ttt) == [0]
    assert len(consumer.owned) == 4


def test_names_and_expressions_add_up(world: ConsumerWorld) -> None:
    """In one member, and an empty expression takes the former one back."""
    u, v = world.topics.put("u", 1), world.topics.put("v", 1)
    consumer = Consumer(world, topics={"t"}, regex="[uv]")
    consumer.join()
    assert consumer.owned.keys() == {world.t, u, v}
    consumer.take(consumer.send(owned=consumer.owned, regex=""))
    settle(consumer)
    assert consumer.owned.keys() == {world.t}


def test_an_unsound_expression_is_refused_without_harm(world: ConsumerWorld) -> None:
    """RE2 has no lookahead; the member stays what it was."""
    consumer = Consumer(world)
    consumer.join()
    result = consumer.send(regex="t(?!x)")
    assert result.error is ErrorCode.INVALID_REGULAR_EXPRESSION
    assert "t(?!x)" in (result.message or "")
    assert (world.epochs(), consumer.beat().error) == ((2, 2), ErrorCode.NONE)


def test_members_with_different_subscriptions_get_only_their_own(world: ConsumerWorld) -> None:
    """And the loads are even all the same."""
    u = world.topics.put("u", 4)
    both, only_t = Consumer(world, "1", topics={"t", "u"}), Consumer(world, "2")
    settle(both, only_t)
    assert (both.has(u), both.has(), only_t.has()) == ([0, 1, 2, 3], [], [0, 1, 2, 3])
