"""How members are lost: silence, goodbye, a closed connection, a sync that never comes."""

import pytest

from broker.errors import ErrorCode
from broker.groups import JoinRequest, JoinResult, LeavingMember
from tests.broker.groups.harness import REBALANCE_MS, SESSION_MS, Client, World, stable


def test_heartbeats_keep_a_member_and_silence_loses_it() -> None:
    """The session ends its timeout after the last sign of life, not before."""
    world = World()
    client = Client(world)
    stable(world, client)
    for _ in range(5):
        world.advance(SESSION_MS - 1)
        assert client.heartbeat() is ErrorCode.NONE
    world.advance(SESSION_MS)
    assert client.heartbeat() is ErrorCode.UNKNOWN_MEMBER_ID
    assert world.state() == "Empty"


def test_the_others_take_over_from_a_silent_member() -> None:
    """The end of a session is a rebalance for who is left."""
    world = World()
    killed, survivor = Client(world, "a"), Client(world, "b")
    stable(world, killed, survivor)
    world.advance(SESSION_MS - 1)
    assert survivor.heartbeat() is ErrorCode.NONE
    world.advance(1)
    assert survivor.heartbeat() is ErrorCode.REBALANCE_IN_PROGRESS
    survivor.join()
    assert survivor.leads
    assert [member.member_id for member in survivor.joins[-1].members] == [survivor.member_id]


def test_a_stale_generation_is_told_so() -> None:
    """A heartbeat of an older generation is ILLEGAL_GENERATION."""
    world = World()
    first, second = Client(world, "a"), Client(world, "b")
    stable(world, first)
    old = first.generation
    stable(world, first, second)
    assert world.coordinator.heartbeat("g", first.member_id, None, old) is ErrorCode.ILLEGAL_GENERATION


def test_leaving_is_a_rebalance_at_once() -> None:
    """Nobody waits for the session of a member that said goodbye."""
    world = World()
    first, second = Client(world, "a"), Client(world, "b")
    stable(world, first, second)
    assert first.leave() is ErrorCode.NONE
    assert first.heartbeat() is ErrorCode.UNKNOWN_MEMBER_ID
    assert second.heartbeat() is ErrorCode.REBALANCE_IN_PROGRESS


def test_several_leave_in_one_rebalance_and_each_has_its_outcome() -> None:
    """A batch of goodbyes ends in one new generation; a stranger in it is told that it is one."""
    world = World()
    clients = [Client(world, name) for name in "abc"]
    stable(world, *clients)
    leaving = [LeavingMember(clients[0].member_id), LeavingMember("nobody"), LeavingMember(clients[1].member_id)]
    result = world.coordinator.leave("g", leaving)
    assert [left.error for left in result.members] == [
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.NONE,
    ]
    before = clients[2].generation
    clients[2].join()
    assert clients[2].generation == before + 1


def test_a_member_that_leaves_while_it_waits_is_answered() -> None:
    """Its parked join ends in UNKNOWN_MEMBER_ID, and the others go on without it."""
    world = World()
    first, second = Client(world, "a"), Client(world, "b")
    stable(world, first)
    second.join()
    assert second.leave() is ErrorCode.NONE
    assert second.joins[-1].error is ErrorCode.UNKNOWN_MEMBER_ID
    first.join()
    assert (first.generation, len(first.joins[-1].members)) == (2, 1)


def test_a_promised_id_can_be_given_back() -> None:
    """A client that was given an id and closes before it joins keeps no rebalance from ending."""
    world = World()
    first, second = Client(world, "a"), Client(world, "b")
    stable(world, first)
    answers: list[JoinResult] = []
    request = JoinRequest(
        group_id="g", session_timeout_ms=SESSION_MS, protocol_type="consumer", protocols=[("range", b"")]
    )
    world.coordinator.join(request, owner=None, on_complete=answers.append)
    second.join()
    first.join()
    assert first.generation == 1
    assert world.coordinator.leave("g", [LeavingMember(answers[0].member_id)]).members[0].error is ErrorCode.NONE
    assert (first.generation, second.generation) == (2, 2)


def test_a_group_whose_last_member_left_is_empty_with_a_new_generation() -> None:
    """The next first member gets a generation that nobody has had."""
    world = World()
    client = Client(world)
    stable(world, client)
    client.leave()
    assert world.state() == "Empty"
    newcomer = Client(world, "n").join()
    assert newcomer.generation == 3


def test_a_member_does_not_expire_while_its_join_waits() -> None:
    """A parked join is a sign of life for as long as its connection stands."""
    world = World()
    slow, waiting = Client(world, "a", session_timeout_ms=50_000), Client(world, "b")
    stable(world, slow)
    waiting.join()
    world.advance(SESSION_MS * 3)
    slow.join()
    assert (waiting.joins[-1].error, waiting.generation) == (ErrorCode.NONE, 2)


@pytest.mark.parametrize("instance_id", [None, "i"])
def test_who_is_killed_while_it_joins_counts_as_joined_until_its_session_ends(instance_id: str | None) -> None:
    """The others go on at once with their share, nobody gets its answer, and its session begins with that answer."""
    world = World()
    present = Client(world, "a", session_timeout_ms=50_000)
    killed = Client(world, "b", instance_id=instance_id)
    stable(world, present)
    killed.join()
    answers = len(killed.joins)
    killed.disconnect()
    world.advance(SESSION_MS * 2)
    present.join().sync({present.member_id: b"half"})
    assert (present.generation, len(present.joins[-1].members), present.syncs[-1].assignment) == (2, 2, b"half")
    world.advance(SESSION_MS - 1)
    assert present.heartbeat() is ErrorCode.NONE
    world.advance(1)
    assert present.heartbeat() is ErrorCode.REBALANCE_IN_PROGRESS
    present.join()
    assert (present.generation, len(present.joins[-1].members)) == (3, 1)
    assert len(killed.joins) == answers


@pytest.mark.parametrize("instance_id", [None, "i"])
def test_who_is_killed_while_it_syncs_has_its_share_until_its_session_ends(instance_id: str | None) -> None:
    """It is not missing from the second phase either; its session begins with the leader's assignments."""
    world = World()
    leader = Client(world, "a", session_timeout_ms=50_000)
    killed = Client(world, "b", instance_id=instance_id)
    stable(world, leader)
    killed.join()
    leader.join()
    killed.sync()
    killed.disconnect()
    world.advance(SESSION_MS * 2)
    leader.sync({})
    assert (world.state(), killed.syncs) == ("Stable", [])
    world.advance(SESSION_MS - 1)
    assert leader.heartbeat() is ErrorCode.NONE
    world.advance(1)
    assert leader.heartbeat() is ErrorCode.REBALANCE_IN_PROGRESS
    leader.join()
    assert (leader.generation, len(leader.joins[-1].members)) == (3, 1)


def test_a_leader_that_is_killed_while_it_joins_is_waited_for_until_its_session_ends() -> None:
    """Only it can bring assignments; after its session another one leads."""
    world = World()
    leader, follower = Client(world, "a"), Client(world, "b", session_timeout_ms=50_000)
    stable(world, leader, follower)
    leader.join()
    leader.disconnect()
    follower.join().sync()
    assert (follower.generation, follower.leads, len(follower.syncs)) == (3, False, 1)
    world.advance(SESSION_MS)
    assert follower.syncs[-1].error is ErrorCode.REBALANCE_IN_PROGRESS
    follower.join()
    assert follower.leads


def test_the_first_join_of_a_member_waits_for_five_minutes_at_most() -> None:
    """Who is killed and comes again as a stranger leaves no crowd in a rebalance that takes an hour."""
    world = World()
    slow = Client(world, "a", session_timeout_ms=1_800_000, rebalance_timeout_ms=3_600_000)
    newcomer = Client(world, "b", rebalance_timeout_ms=3_600_000)
    stable(world, slow)
    newcomer.join()
    world.advance(299_999)
    assert len(newcomer.joins) == 1
    world.advance(1)
    assert newcomer.joins[-1].error is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_member_may_come_back_over_another_connection() -> None:
    """Its join over the new connection takes the place of the one whose answer nobody would read."""
    world = World()
    present, back = Client(world, "a", session_timeout_ms=50_000), Client(world, "b")
    stable(world, present)
    back.join()
    back.disconnect()
    back.join()
    present.join()
    assert (back.joins[-1].error, back.generation) == (ErrorCode.NONE, 2)


def test_a_leader_that_never_syncs_is_put_out() -> None:
    """After the rebalance timeout the followers that waited for its assignments join without it."""
    world = World()
    leader = Client(world, "a", session_timeout_ms=200_000)
    follower = Client(world, "b", session_timeout_ms=200_000)
    stable(world, leader)
    follower.join()
    leader.join()
    follower.sync()
    world.advance(REBALANCE_MS)
    assert follower.syncs[-1].error is ErrorCode.REBALANCE_IN_PROGRESS
    assert leader.heartbeat() is ErrorCode.UNKNOWN_MEMBER_ID
    follower.join()
    assert follower.leads


def test_a_follower_that_never_syncs_is_put_out_of_a_stable_group() -> None:
    """A member without its assignment holds partitions that nobody reads."""
    world = World()
    leader = Client(world, "a", session_timeout_ms=200_000)
    follower = Client(world, "b", session_timeout_ms=200_000)
    stable(world, leader)
    follower.join()
    leader.join()
    leader.sync({})
    world.advance(REBALANCE_MS)
    assert follower.heartbeat() is ErrorCode.UNKNOWN_MEMBER_ID
    assert leader.heartbeat() is ErrorCode.REBALANCE_IN_PROGRESS


def test_a_stop_answers_everything_that_waits() -> None:
    """A clean stop leaves no client hanging until its own timeout."""
    world = World()
    first, second = Client(world, "a"), Client(world, "b")
    stable(world, first)
    second.join()
    world.coordinator.stop()
    assert second.joins[-1].error is ErrorCode.COORDINATOR_NOT_AVAILABLE


def test_idle_deadlines_move_with_heartbeats_only_when_they_are_looked_at() -> None:
    """However many heartbeats there are, each group has one alarm."""
    world = World()
    client = Client(world)
    stable(world, client)
    for _ in range(1_000):
        world.clock.advance_ms(100)
        assert client.heartbeat() is ErrorCode.NONE
        world.coordinator.expire(world.clock.monotonic())
    assert len(world.coordinator._alarms._heap) < 5
