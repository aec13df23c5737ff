"""From the first join to an assignment, and what keeps a member out."""

import pytest

from broker.errors import ErrorCode
from broker.groups import JoinRequest, JoinResult
from tests.broker.groups.harness import REBALANCE_MS, SESSION_MS, Client, World, stable


def test_the_first_member_leads_a_first_generation_at_once() -> None:
    """With an initial rebalance delay of 0 nobody waits for anybody."""
    client = Client(World()).join()
    assert (client.joins[-1].error, client.joins[-1].generation) == (ErrorCode.NONE, 1)
    assert client.joins[-1].leader == client.member_id
    assert [member.metadata for member in client.joins[-1].members] == [b"any"]


def test_a_dynamic_member_is_given_an_id_before_it_may_join() -> None:
    """MEMBER_ID_REQUIRED comes with the id that the second join brings (KIP-394)."""
    client = Client(World(), "app").join()
    assert [join.error for join in client.joins] == [ErrorCode.MEMBER_ID_REQUIRED, ErrorCode.NONE]
    assert client.joins[0].member_id == client.joins[1].member_id
    assert client.member_id.startswith("app-")


def test_joins_before_version_4_need_no_second_round() -> None:
    """An old client is a member with its first request."""
    client = Client(World()).join(requires_known_member_id=False)
    assert [join.error for join in client.joins] == [ErrorCode.NONE]


def test_a_promised_id_is_forgotten_after_a_session() -> None:
    """A client that never comes back with its id leaves nothing behind, not even the group."""
    world = World()
    answers: list[JoinResult] = []
    request = JoinRequest(
        group_id="g", session_timeout_ms=SESSION_MS, protocol_type="consumer", protocols=[("range", b"")]
    )
    world.coordinator.join(request, owner=None, on_complete=answers.append)
    assert answers[-1].error is ErrorCode.MEMBER_ID_REQUIRED
    world.advance(SESSION_MS)
    assert world.coordinator.describe("g") is None


def test_a_second_member_waits_until_the_first_has_joined_again() -> None:
    """The newcomer is parked; the old member hears REBALANCE_IN_PROGRESS and joins; both are in generation 2."""
    world = World()
    first, second = Client(world, "a"), Client(world, "b")
    stable(world, first)
    second.join()
    assert second.joins[-1].error is ErrorCode.MEMBER_ID_REQUIRED
    assert first.heartbeat() is ErrorCode.REBALANCE_IN_PROGRESS
    first.join()
    assert (first.generation, second.generation) == (2, 2)
    assert first.leads
    assert not second.leads
    assert [len(client.joins[-1].members) for client in (first, second)] == [2, 0]


def test_followers_wait_for_the_leaders_assignments() -> None:
    """A follower's sync is parked; the leader's brings everybody's share."""
    world = World()
    first, second = Client(world, "a"), Client(world, "b")
    stable(world, first)
    second.join()
    first.join()
    second.sync()
    assert second.syncs == []
    first.sync({first.member_id: b"one", second.member_id: b"two"})
    assert (first.syncs[-1].assignment, second.syncs[-1].assignment) == (b"one", b"two")
    assert world.state() == "Stable"


def test_a_member_that_the_leader_forgets_has_an_empty_assignment() -> None:
    """What the leader does not mention is empty, not an error."""
    world = World()
    client = Client(world).join().sync({})
    assert (client.syncs[-1].error, client.syncs[-1].assignment) == (ErrorCode.NONE, b"")
    assert world.state() == "Stable"


def test_who_does_not_join_again_in_time_is_out() -> None:
    """At the end of the rebalance timeout the generation begins without it, though its session is alive."""
    world = World()
    present, absent = Client(world, "a", session_timeout_ms=90_000), Client(world, "b", session_timeout_ms=90_000)
    stable(world, present, absent)
    Client(world, "c", session_timeout_ms=90_000).join()
    present.join()
    world.advance(REBALANCE_MS - 1)
    assert present.generation == 2
    world.advance(1)
    assert present.generation == 3
    assert absent.heartbeat() is ErrorCode.UNKNOWN_MEMBER_ID


def test_the_protocol_is_the_one_most_members_prefer_of_those_all_support() -> None:
    """Each votes for its first common protocol."""
    world = World()
    clients = [
        Client(world, "a", protocols=(("range", b""), ("sticky", b""))),
        Client(world, "b", protocols=(("sticky", b""), ("range", b""))),
        Client(world, "c", protocols=(("only-c", b""), ("sticky", b""), ("range", b""))),
    ]
    stable(world, *clients)
    assert {client.joins[-1].protocol for client in clients} == {"sticky"}


@pytest.mark.parametrize(
    ("protocol_type", "protocols"),
    [("consumer", (("sticky", b""),)), ("connect", (("range", b""),)), ("", (("range", b""),)), ("consumer", ())],
)
def test_a_member_without_a_common_protocol_is_refused(
    protocol_type: str, protocols: tuple[tuple[str, bytes], ...]
) -> None:
    """INCONSISTENT_GROUP_PROTOCOL, and the group does not notice."""
    world = World()
    first = Client(world, "a")
    stable(world, first)
    stranger = Client(world, "b", protocol_type=protocol_type, protocols=protocols).join()
    assert stranger.joins[-1].error is ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    assert first.heartbeat() is ErrorCode.NONE


@pytest.mark.parametrize("session_timeout_ms", [5_999, 1_800_001])
def test_a_session_outside_the_brokers_bounds_is_refused(session_timeout_ms: int) -> None:
    """group.min.session.timeout.ms and group.max.session.timeout.ms hold."""
    client = Client(World(), session_timeout_ms=session_timeout_ms).join()
    assert client.joins[-1].error is ErrorCode.INVALID_SESSION_TIMEOUT


def test_an_unknown_member_id_is_refused_with_and_without_a_group() -> None:
    """A member that was expired has to begin with no id."""
    world = World()
    stranger = Client(world, "x")
    stranger.member_id = "nobody"
    assert stranger.join().joins[-1].error is ErrorCode.UNKNOWN_MEMBER_ID
    assert world.coordinator.describe("g") is None
    stable(world, Client(world, "a"))
    assert stranger.join().joins[-1].error is ErrorCode.UNKNOWN_MEMBER_ID


def test_a_repeated_join_of_a_follower_gets_the_same_generation() -> None:
    """An answer that was lost on the way is given again, without a rebalance."""
    world = World()
    leader, follower = Client(world, "a"), Client(world, "b")
    stable(world, leader, follower)
    generation = follower.generation
    follower.join()
    assert (follower.joins[-1].generation, world.state()) == (generation, "Stable")


def test_a_leader_that_joins_a_stable_group_again_makes_it_rebalance() -> None:
    """It has seen new partitions or topics: the group needs another assignment."""
    world = World()
    leader, follower = Client(world, "a"), Client(world, "b")
    stable(world, leader, follower)
    next(client for client in (leader, follower) if client.leads).join()
    assert world.state() == "PreparingRebalance"


def test_a_follower_with_another_subscription_makes_the_group_rebalance() -> None:
    """Other metadata under the same protocol is a new subscription."""
    world = World()
    leader, follower = Client(world, "a"), Client(world, "b")
    stable(world, leader, follower)
    follower = next(client for client in (leader, follower) if not client.leads)
    follower.protocols = (("range", b"other"),)
    follower.join()
    assert world.state() == "PreparingRebalance"


def test_a_repeated_join_answers_the_one_before_it() -> None:
    """A client that lost patience has two requests waiting; each gets one answer."""
    world = World()
    first, second = Client(world, "a"), Client(world, "b")
    stable(world, first)
    second.join()
    second.join()
    assert second.joins[-1].error is ErrorCode.REBALANCE_IN_PROGRESS
    first.join()
    assert [join.error for join in second.joins[1:]] == [ErrorCode.REBALANCE_IN_PROGRESS, ErrorCode.NONE]


def test_an_initial_delay_gathers_the_first_members_into_one_generation() -> None:
    """Each newcomer prolongs the wait by the delay, up to the rebalance timeout."""
    world = World(group_initial_rebalance_delay_ms="3000")
    first, second = Client(world, "a").join(), Client(world, "b")
    world.advance(2_000)
    second.join()
    world.advance(1_000)
    assert (first.generation, second.generation) == (-1, -1)
    world.advance(3_000)
    assert (first.generation, second.generation) == (1, 1)


def test_the_initial_delay_ends_with_the_rebalance_timeout() -> None:
    """However many come, the first member waits no longer than it said it could."""
    world = World(group_initial_rebalance_delay_ms="3000")
    first = Client(world, "a", rebalance_timeout_ms=8_000).join()
    for number in range(7):
        world.advance(1_000)
        Client(world, f"n{number}", rebalance_timeout_ms=8_000).join()
    assert first.generation == -1
    world.advance(1_000)
    assert first.generation == 1


def test_the_assignments_of_an_abandoned_generation_are_never_handed_out() -> None:
    """A member that joins while syncs wait sends everybody back to joining."""
    world = World()
    first, second = Client(world, "a"), Client(world, "b")
    stable(world, first)
    second.join()
    first.join()
    second.sync()
    Client(world, "c").join()
    assert second.syncs[-1].error is ErrorCode.REBALANCE_IN_PROGRESS
    first.sync({second.member_id: b"old"})
    assert first.syncs[-1].error is ErrorCode.REBALANCE_IN_PROGRESS


def test_a_sync_of_another_generation_or_protocol_is_refused() -> None:
    """ILLEGAL_GENERATION and INCONSISTENT_GROUP_PROTOCOL."""
    client = Client(World()).join()
    client.generation = 7
    assert client.sync().syncs[-1].error is ErrorCode.ILLEGAL_GENERATION
    client.generation = 1
    client.protocol_type = "connect"
    assert client.sync().syncs[-1].error is ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_a_group_that_is_not_there_is_refused_by_name() -> None:
    """An empty group id is INVALID_GROUP_ID; of an unknown group one cannot be a member."""
    world = World()
    client = Client(world)
    assert client.heartbeat() is ErrorCode.UNKNOWN_MEMBER_ID
    assert client.leave() is ErrorCode.UNKNOWN_MEMBER_ID
    assert client.sync().syncs[-1].error is ErrorCode.UNKNOWN_MEMBER_ID
    assert world.coordinator.heartbeat("", "m", None, 1) is ErrorCode.INVALID_GROUP_ID
    assert world.coordinator.leave("", []).error is ErrorCode.INVALID_GROUP_ID
