"""Joining, staying, being fenced and leaving (KIP-848)."""

import pytest

from broker.errors import ErrorCode
from broker.groups import HeartbeatRequest
from tests.broker.groups.consumer.harness import REBALANCE_MS, SESSION_MS, Consumer, ConsumerWorld, settle


@pytest.fixture
def world() -> ConsumerWorld:
    return ConsumerWorld()


def test_the_first_member_gets_everything_at_once(world: ConsumerWorld) -> None:
    """Epoch 0 joins; the answer has the epoch, the interval and the assignment."""
    consumer = Consumer(world)
    result = consumer.join()
    assert (result.error, result.member_id, result.member_epoch) == (ErrorCode.NONE, "c", 2)
    assert result.heartbeat_interval_ms == 5_000
    assert consumer.has() == [0, 1, 2, 3]
    assert world.state() == "Stable"
    assert world.epochs() == (2, 2)


def test_a_member_without_an_id_is_given_one_in_v0_and_refused_later(world: ConsumerWorld) -> None:
    """From v1 the client makes its id (KIP-1082)."""
    consumer = Consumer(world, "")
    assert consumer.join().error is ErrorCode.INVALID_REQUEST
    request = HeartbeatRequest(
        group_id="g",
        member_epoch=0,
        rebalance_timeout_ms=1,
        subscribed_names=frozenset({"t"}),
        owned={},
        makes_member_id=False,
    )
    result = world.coordinator.consumer_heartbeat(request)
    assert (result.error, bool(result.member_id)) == (ErrorCode.NONE, True)


def test_nothing_changes_in_a_quiet_group(world: ConsumerWorld) -> None:
    """No new epoch, no assignment in the answer, nothing written."""
    consumer = Consumer(world)
    consumer.join()
    written = len(world.log.records)
    result = consumer.send()
    assert (result.error, result.member_epoch, result.assignment) == (ErrorCode.NONE, 2, None)
    assert len(world.log.records) == written


def test_a_member_that_says_everything_is_told_everything(world: ConsumerWorld) -> None:
    """After an error or a timeout the client does not know what was heard."""
    consumer = Consumer(world)
    consumer.join()
    result = consumer.send(owned=consumer.owned, topics=frozenset({"t"}), rebalance_timeout_ms=REBALANCE_MS)
    assert result.assignment == consumer.owned


def test_a_partition_goes_to_the_next_only_after_it_was_given_up(world: ConsumerWorld) -> None:
    """The whole way of two partitions from one member to another."""
    first, second = Consumer(world, "1"), Consumer(world, "2")
    first.join()
    second.join()
    assert (second.epoch, second.has()) == (3, [])
    # Asked to revoke, and still in its epoch.
    result = first.send()
    assert result.member_epoch == 2
    assert result.assignment is not None
    kept = result.assignment[world.t]
    assert len(kept) == 2
    # Until it says so it has them, so the other one waits.
    assert second.beat().assignment is None
    assert first.send(owned=first.owned).assignment is None
    first.owned = {world.t: kept}
    assert first.beat().member_epoch == 3
    second.beat()
    assert sorted(first.has() + second.has()) == [0, 1, 2, 3]
    assert world.state() == "Stable"


def test_a_group_goes_through_its_states(world: ConsumerWorld) -> None:
    """Empty, Stable, Reconciling, Assigning after a member has gone, and Empty again."""
    first, second = Consumer(world, "1"), Consumer(world, "2")
    first.join()
    assert world.state() == "Stable"
    second.join()
    assert world.state() == "Reconciling"
    settle(first, second)
    assert world.state() == "Stable"
    second.leave()
    assert world.state() == "Assigning"
    settle(first)
    assert (world.state(), first.has()) == ("Stable", [0, 1, 2, 3])
    first.leave()
    assert world.state() == "Empty"


def test_a_member_that_does_not_revoke_in_time_is_fenced(world: ConsumerWorld) -> None:
    """The rebalance timeout is its own; heartbeats alone do not help."""
    first, second = Consumer(world, "1", rebalance_timeout_ms=10_000), Consumer(world, "2")
    first.join()
    second.join()
    all_of_them = first.owned
    first.send(owned=all_of_them)
    for _ in range(3):
        world.advance(3_000)
        assert first.send(owned=all_of_them).error is ErrorCode.NONE
        second.beat()
    world.advance(3_000)
    assert first.send(owned=all_of_them).error is ErrorCode.UNKNOWN_MEMBER_ID
    settle(second)
    assert second.has() == [0, 1, 2, 3]


def test_a_silent_member_is_out_after_its_session(world: ConsumerWorld) -> None:
    """And its partitions go to the others."""
    first, second = Consumer(world, "1"), Consumer(world, "2")
    settle(first, second)
    world.advance(SESSION_MS - 1)
    second.beat()
    world.advance(1)
    settle(second)
    assert second.has() == [0, 1, 2, 3]
    assert first.send().error is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_member_of_another_epoch_is_fenced(world: ConsumerWorld) -> None:
    """Greater, and smaller without a reason; it joins anew with epoch 0 under the same id."""
    first, second = Consumer(world, "1"), Consumer(world, "2")
    settle(first, second)
    assert first.send(epoch=first.epoch + 1).error is ErrorCode.FENCED_MEMBER_EPOCH
    assert first.send(epoch=first.epoch - 1).error is ErrorCode.FENCED_MEMBER_EPOCH
    held = first.owned
    result = first.join()
    assert (result.error, result.member_epoch, result.assignment) == (ErrorCode.NONE, 3, held)


def test_a_member_whose_answer_was_lost_may_use_the_epoch_before(world: ConsumerWorld) -> None:
    """As long as it has no more than it was given."""
    first, second = Consumer(world, "1"), Consumer(world, "2")
    first.join()
    second.join()
    before = first.owned
    kept = first.send().assignment
    first.owned = kept or {}
    assert first.send(owned=first.owned).member_epoch == 3
    assert first.send(epoch=2, owned=first.owned).error is ErrorCode.NONE
    assert first.send(epoch=2, owned=before).error is ErrorCode.FENCED_MEMBER_EPOCH


def test_strangers_are_unknown(world: ConsumerWorld) -> None:
    """A group or a member that is not there, when it does not join; nothing is made for it."""
    stranger = Consumer(world, "x")
    assert stranger.send(epoch=5).error is ErrorCode.GROUP_ID_NOT_FOUND
    assert stranger.send(epoch=-1).error is ErrorCode.GROUP_ID_NOT_FOUND
    assert world.coordinator.list_groups() == []
    Consumer(world).join()
    assert stranger.send(epoch=5).error is ErrorCode.UNKNOWN_MEMBER_ID
    assert stranger.send(epoch=-1).error is ErrorCode.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"group_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"member_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"instance_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"rack_id": ""}, ErrorCode.INVALID_REQUEST),
        ({"member_epoch": -3}, ErrorCode.INVALID_REQUEST),
        ({"member_epoch": -2}, ErrorCode.INVALID_REQUEST),
        ({"rebalance_timeout_ms": -1}, ErrorCode.INVALID_REQUEST),
        ({"owned": None}, ErrorCode.INVALID_REQUEST),
        ({"owned": {"x": frozenset({1})}}, ErrorCode.INVALID_REQUEST),
        ({"subscribed_names": None}, ErrorCode.INVALID_REQUEST),
        ({"assignor": "sticky"}, ErrorCode.UNSUPPORTED_ASSIGNOR),
        ({"subscribed_regex": "(?=t)"}, ErrorCode.INVALID_REGULAR_EXPRESSION),
        ({"member_id": "x" * 2000}, ErrorCode.INVALID_REQUEST),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    world: ConsumerWorld, fields: dict[str, object], error: ErrorCode
) -> None:
    """With words, and without a trace."""
    sound: dict[str, object] = {
        "group_id": "g",
        "member_id": "m",
        "member_epoch": 0,
        "rebalance_timeout_ms": 1000,
        "subscribed_names": frozenset({"t"}),
        "owned": {},
    }
    result = world.coordinator.consumer_heartbeat(HeartbeatRequest(**{**sound, **fields}))  # type: ignore[arg-type]
    assert result.error is error
    assert result.message
    assert world.log.records == []
    assert world.coordinator.list_groups() == []


def test_a_full_group_takes_nobody_more() -> None:
    """Those who are in it are not concerned."""
    world = ConsumerWorld(group_consumer_max_size="2")
    first, second, third = (Consumer(world, name) for name in "123")
    settle(first, second)
    assert third.join().error is ErrorCode.GROUP_MAX_SIZE_REACHED
    assert first.join().error is ErrorCode.NONE
    second.leave()
    assert third.join().error is ErrorCode.NONE


def test_most_members_choose_the_assignor(world: ConsumerWorld) -> None:
    """With none asked for it is the first that the broker offers."""
    first, second = Consumer(world, "1"), Consumer(world, "2", assignor="range")
    first.join()
    group = world.coordinator.describe_consumer("g")
    assert group is not None
    assert group.assignor == "uniform"
    settle(first, second)
    assert (first.has(), second.has()) == ([0, 1], [2, 3])
    group = world.coordinator.describe_consumer("g")
    assert group is not None
    assert group.assignor == "range"


def test_targets_are_not_made_more_often_than_the_interval_allows() -> None:
    """Several newcomers, one assignment."""
    world = ConsumerWorld(group_consumer_assignment_interval_ms="1000")
    first, second, third = (Consumer(world, name) for name in "123")
    first.join()
    second.join()
    third.join()
    assert (world.state(), world.epochs()) == ("Assigning", (4, 2))
    world.advance(1_000)
    settle(first, second, third)
    assert (world.state(), world.epochs()) == ("Stable", (4, 4))


def test_deleting_a_group_needs_it_empty(world: ConsumerWorld) -> None:
    """And leaves nothing."""
    consumer = Consumer(world)
    consumer.join()
    assert world.coordinator.delete("g") is ErrorCode.NON_EMPTY_GROUP
    consumer.leave()
    assert world.coordinator.delete("g") is ErrorCode.NONE
    assert world.coordinator.delete("g") is ErrorCode.GROUP_ID_NOT_FOUND
    world.restart()
    assert world.coordinator.list_groups() == []


def test_a_full_disk_is_a_pause(world: ConsumerWorld) -> None:
    """What cannot be stored has not happened; later it does."""
    first, second = Consumer(world, "1"), Consumer(world, "2")
    first.join()
    world.log.refuses = True
    assert second.join().error is ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert world.epochs() == (2, 2)
    assert first.send().error is ErrorCode.NONE
    world.log.refuses = False
    settle(first, second)
    assert sorted(first.has() + second.has()) == [0, 1, 2, 3]
