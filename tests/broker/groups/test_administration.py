"""Describing, listing and deleting groups and their offsets; what a stranger may not pile up."""

from broker.errors import ErrorCode
from broker.groups import CommitRequest, JoinRequest, JoinResult, OffsetToCommit
from broker.identifiers import TopicPartition
from tests.broker.groups.harness import SESSION_MS, Client, World, stable
from tests.broker.groups.test_static_members import subscription

P0, U0 = TopicPartition("t", 0), TopicPartition("u", 0)


def _commit(world: World, client: Client | None = None, group_id: str = "g") -> ErrorCode:
    request = CommitRequest(
        group_id=group_id,
        member_id=client.member_id if client else "",
        generation=client.generation if client else -1,
        offsets={P0: OffsetToCommit(1), U0: OffsetToCommit(2)},
    )
    return world.coordinator.commit_offsets(request)[P0]


def test_a_stable_group_is_described_with_assignments() -> None:
    """State, protocol, and each member with where it comes from."""
    world = World()
    client = Client(world, "app", instance_id="i")
    stable(world, client)
    group = world.coordinator.describe("g")
    assert group is not None
    assert (group.state.value, group.protocol_type, group.protocol) == ("Stable", "consumer", "range")
    member = group.members[0]
    assert (member.client_id, member.client_host, member.instance_id) == ("app", "/127.0.0.1", "i")
    assert (member.metadata, member.assignment) == (b"any", b"app")


def test_a_rebalancing_group_is_described_without_assignments() -> None:
    """Between generations there is no protocol and nobody has a share."""
    world = World()
    client = Client(world)
    stable(world, client)
    client.join()
    group = world.coordinator.describe("g")
    assert group is not None
    assert (group.state.value, group.protocol) == ("CompletingRebalance", "")
    assert {(member.metadata, member.assignment) for member in group.members} == {(b"", b"")}


def test_groups_are_listed_with_their_states() -> None:
    """Groups that only commit are listed, too."""
    world = World()
    stable(world, Client(world))
    _commit(world, group_id="simple")
    listed = {group.group_id: (group.protocol_type, group.state.value) for group in world.coordinator.list_groups()}
    assert listed == {"g": ("consumer", "Stable"), "simple": ("", "Empty")}


def test_a_group_with_members_is_not_deleted() -> None:
    """NON_EMPTY_GROUP while somebody is in it; then it goes with its offsets."""
    world = World()
    client = Client(world)
    stable(world, client)
    _commit(world, client)
    assert world.coordinator.delete("g") is ErrorCode.NON_EMPTY_GROUP
    client.leave()
    assert world.coordinator.delete("g") is ErrorCode.NONE
    assert world.coordinator.delete("g") is ErrorCode.GROUP_ID_NOT_FOUND
    assert world.coordinator.fetch_offsets("g", None).offsets == {}


def test_offsets_in_use_are_not_deleted() -> None:
    """GROUP_SUBSCRIBED_TO_TOPIC for the topics of living members; others go."""
    world = World()
    client = Client(world, protocols=[("range", subscription("t"))])
    stable(world, client)
    _commit(world, client)
    assert world.coordinator.delete_offsets("g", [P0, U0]) == (
        ErrorCode.NONE,
        {P0: ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC, U0: ErrorCode.NONE},
    )
    assert world.coordinator.fetch_offsets("g", None).offsets.keys() == {P0}
    assert world.coordinator.delete_offsets("nobody", [P0])[0] is ErrorCode.GROUP_ID_NOT_FOUND


def test_offsets_of_topics_that_a_living_group_has_left_expire() -> None:
    """A service that no longer reads a topic loses its old position there after the retention, and only there."""
    world = World()
    client = Client(world, protocols=[("range", subscription("t"))])
    stable(world, client)
    _commit(world, client)
    for _ in range(8 * 24 * 3600 * 1000 // 9_000_000 + 1):
        for _ in range(1_000):
            world.clock.advance_ms(9_000)
            client.heartbeat()
        world.coordinator.expire(world.clock.monotonic())
    assert world.coordinator.fetch_offsets("g", None).offsets.keys() == {P0}


def test_a_group_takes_no_more_members_than_its_limit() -> None:
    """group.max.size counts promised ids as well; a member that is already in may join again."""
    world = World(group_max_size="2")
    first, second = Client(world, "a"), Client(world, "b")
    stable(world, first, second)
    assert Client(world, "c").join().joins[-1].error is ErrorCode.GROUP_MAX_SIZE_REACHED
    follower = second if first.leads else first
    assert follower.join().joins[-1].error is ErrorCode.NONE


def test_promised_ids_count_towards_the_limit() -> None:
    """A flood of first joins that never come back is bounded, and over after a session."""
    world = World(group_max_size="3")
    answers: list[JoinResult] = []
    request = JoinRequest(
        group_id="g", session_timeout_ms=SESSION_MS, protocol_type="consumer", protocols=[("range", b"")]
    )
    for _ in range(5):
        world.coordinator.join(request, owner=None, on_complete=answers.append)
    assert [answer.error for answer in answers] == [ErrorCode.MEMBER_ID_REQUIRED] * 3 + [
        ErrorCode.GROUP_MAX_SIZE_REACHED
    ] * 2
    world.advance(SESSION_MS)
    assert Client(world).join().generation == 1


def test_the_number_of_groups_is_bounded() -> None:
    """group.max.count: a further group is refused, by join and by commit; those that exist go on."""
    world = World(group_max_count="1")
    client = Client(world)
    stable(world, client)
    assert _commit(world, group_id="h") is ErrorCode.POLICY_VIOLATION
    assert _commit(world, client) is ErrorCode.NONE


def test_what_a_member_says_of_itself_is_bounded() -> None:
    """Names by group.name.max.bytes, protocols by group.member.metadata.max.bytes, assignments by theirs."""
    world = World(group_name_max_bytes="20", group_member_metadata_max_bytes="100", group_assignment_max_bytes="10")
    assert Client(world, "n" * 21).join().joins[-1].error is ErrorCode.INVALID_REQUEST
    assert Client(world, "n", protocols=[("range", b"x" * 96)]).join().joins[-1].error is ErrorCode.INVALID_REQUEST
    client = Client(world, "n").join()
    assert client.sync({client.member_id: b"x" * 11}).syncs[-1].error is ErrorCode.INVALID_REQUEST
    assert _commit(world, group_id="g" * 21) is ErrorCode.INVALID_GROUP_ID


def test_a_group_that_nobody_was_let_into_is_not_kept() -> None:
    """A refused first join leaves no group behind."""
    world = World()
    Client(world, protocols=[]).join()
    assert world.coordinator.list_groups() == []
