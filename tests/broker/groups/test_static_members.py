"""Members with an instance id (KIP-345): back in their place without a rebalance, and alone in it."""

from struct import pack

import pytest

from broker.errors import ErrorCode
from broker.groups import LeavingMember
from tests.broker.groups.harness import SESSION_MS, Client, World, stable


def subscription(*topics: str) -> bytes:
    names = b"".join(pack(">h", len(topic)) + topic.encode() for topic in topics)
    return pack(">hi", 1, len(topics)) + names + b"\x00\x00\x00\x00"


def test_a_restarted_static_member_gets_its_assignment_without_a_rebalance() -> None:
    """A new process under the same instance id: a new member id, the same generation, the same assignment."""
    world = World()
    before, other = Client(world, "a", instance_id="i-1"), Client(world, "b")
    stable(world, before, other)
    after = Client(world, "a", instance_id="i-1").join()
    assert after.joins[-1].error is ErrorCode.NONE
    assert after.member_id != before.member_id
    assert (after.generation, world.state()) == (before.generation, "Stable")
    assert after.sync().syncs[-1].assignment == b"a"
    assert other.heartbeat() is ErrorCode.NONE


def test_the_replaced_member_is_fenced() -> None:
    """Whatever the old process still sends under the instance's old id is FENCED_INSTANCE_ID."""
    world = World()
    zombie = Client(world, "a", instance_id="i-1")
    stable(world, zombie)
    Client(world, "a", instance_id="i-1").join()
    assert zombie.heartbeat() is ErrorCode.FENCED_INSTANCE_ID
    assert zombie.sync().syncs[-1].error is ErrorCode.FENCED_INSTANCE_ID
    assert zombie.join().joins[-1].error is ErrorCode.FENCED_INSTANCE_ID
    assert zombie.leave() is ErrorCode.FENCED_INSTANCE_ID


def test_a_parked_join_of_the_replaced_member_is_fenced() -> None:
    """Two processes with one instance id: the one that joined first learns that it is not alone."""
    world = World()
    other, first = Client(world, "b"), Client(world, "a", instance_id="i-1")
    stable(world, other)
    first.join()
    second = Client(world, "a", instance_id="i-1").join()
    assert first.joins[-1].error is ErrorCode.FENCED_INSTANCE_ID
    other.join()
    assert (second.joins[-1].error, len(other.joins[-1].members)) == (ErrorCode.NONE, 2)


def test_an_instance_that_nobody_knows_cannot_claim_a_member_id() -> None:
    """An unknown instance id with a member id is UNKNOWN_MEMBER_ID."""
    world = World()
    client = Client(world, "a")
    stable(world, client)
    assert world.coordinator.heartbeat("g", client.member_id, "i-9", client.generation) is ErrorCode.UNKNOWN_MEMBER_ID


@pytest.mark.parametrize("skips", [True, False])
def test_a_restarted_leader_does_not_assign_anew(skips: bool) -> None:
    """With v9 it is told to skip the assignment; before, it must not take itself for the leader (KIP-814)."""
    world = World()
    before = Client(world, "a", instance_id="i-1")
    stable(world, before)
    after = Client(world, "a", instance_id="i-1").join(supports_skipping_assignment=skips)
    result = after.joins[-1]
    assert (result.skip_assignment, after.leads, len(result.members)) == (
        (True, True, 1) if skips else (False, False, 0)
    )


def test_a_static_member_with_other_topics_makes_the_group_rebalance() -> None:
    """A service that comes back with one more topic gets its partitions; Kafka leaves it without them."""
    world = World()
    before = Client(world, "a", instance_id="i-1", protocols=[("range", subscription("t"))])
    other = Client(world, "b", protocols=[("range", subscription("t"))])
    stable(world, before, other)
    Client(world, "a", instance_id="i-1", protocols=[("range", subscription("t", "u"))]).join()
    assert world.state() == "PreparingRebalance"


def test_a_static_member_may_miss_a_rebalance_within_its_session() -> None:
    """It stays a member of the new generation, with a share, while it restarts."""
    world = World()
    away = Client(world, "a", instance_id="i-1", session_timeout_ms=300_000)
    other = Client(world, "b", session_timeout_ms=300_000)
    stable(world, away, other)
    newcomer = Client(world, "c", session_timeout_ms=300_000).join()
    other.join()
    world.advance(60_000)
    assert newcomer.generation == other.generation
    leader = other if other.leads else newcomer
    assert away.member_id in {member.member_id for member in leader.joins[-1].members}


def test_a_static_member_that_stays_away_is_lost_with_its_session() -> None:
    """Static is not for ever."""
    world = World()
    client = Client(world, instance_id="i-1")
    stable(world, client)
    world.advance(SESSION_MS)
    assert client.heartbeat() is ErrorCode.UNKNOWN_MEMBER_ID
    assert world.state() == "Empty"


def test_an_operator_removes_a_static_member_by_its_instance() -> None:
    """LeaveGroup with an instance id and no member id, as the admin client sends it."""
    world = World()
    client = Client(world, instance_id="i-1")
    stable(world, client)
    result = world.coordinator.leave("g", [LeavingMember("", "i-1"), LeavingMember("", "i-2")])
    assert [left.error for left in result.members] == [ErrorCode.NONE, ErrorCode.UNKNOWN_MEMBER_ID]
    assert world.state() == "Empty"


def test_static_members_that_are_all_away_do_not_keep_the_broker_busy() -> None:
    """A rebalance timeout of 0 and nobody there: the wait is prolonged by a second at a time."""
    world = World()
    first = Client(world, "a", instance_id="i-1", rebalance_timeout_ms=0, session_timeout_ms=60_000)
    visitor = Client(world, "v", rebalance_timeout_ms=0, session_timeout_ms=60_000)
    first.join().sync({first.member_id: b""})
    visitor.join()
    visitor.leave()
    deadlines = 0
    end = world.clock.monotonic() + 10
    while world.coordinator.next_deadline() <= end:
        world.advance(max(1, round((world.coordinator.next_deadline() - world.clock.monotonic()) * 1000)))
        deadlines += 1
    assert deadlines < 20
