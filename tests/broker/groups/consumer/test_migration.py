"""A group moves from the classic protocol to the consumer protocol and back, with members of both in it."""

from collections.abc import Sequence

import pytest

from broker.errors import ErrorCode
from broker.groups import CommitRequest, LeavingMember, OffsetToCommit
from broker.identifiers import TopicPartition
from tests.broker.groups.consumer.classic import SESSION_MS, ClassicConsumer
from tests.broker.groups.consumer.harness import Consumer, ConsumerWorld
from tests.broker.groups.harness import Client

P0 = TopicPartition("t", 0)


@pytest.fixture
def world() -> ConsumerWorld:
    return ConsumerWorld()


def run(*members: Consumer | ClassicConsumer, rounds: int = 8) -> None:
    """All report, several times; no partition is ever used by two."""
    for _ in range(rounds):
        for member in members:
            member.beat()
            used = [partition for each in members for partition in each.has()]
            assert len(used) == len(set(used)), [each.has() for each in members]


def types(world: ConsumerWorld) -> list[tuple[str, str]]:
    return [(each.group_type, each.state.value) for each in world.coordinator.list_groups()]


def everything(members: Sequence[Consumer | ClassicConsumer]) -> bool:
    return sorted(partition for each in members for partition in each.has()) == [0, 1, 2, 3]


@pytest.mark.parametrize("cooperative", [False, True])
def test_a_classic_group_becomes_a_consumer_group_and_again_a_classic_one(
    world: ConsumerWorld, cooperative: bool
) -> None:
    """A rolling upgrade of two members, one at a time, and the way back."""
    old = [ClassicConsumer(world, name, cooperative=cooperative) for name in ("k1", "k2")]
    run(*old)
    assert types(world) == [("classic", "Stable")]
    new = Consumer(world, "n1")
    run(new, *old)
    assert types(world) == [("consumer", "Stable")]
    assert everything([new, *old])
    assert sorted(map(len, (new.has(), old[0].has(), old[1].has()))) == [1, 1, 2]
    old[0].leave()
    newer = Consumer(world, "n2")
    run(new, newer, old[1])
    old[1].leave()
    run(new, newer)
    assert (len(new.has()), len(newer.has())) == (2, 2)
    # And back: the first classic one comes, then both of the consumer protocol go.
    back = [ClassicConsumer(world, name, cooperative=cooperative) for name in ("k3", "k4")]
    run(new, newer, *back)
    assert everything([new, newer, *back])
    new.leave()
    run(newer, *back)
    newer.leave()
    run(*back)
    assert types(world) == [("classic", "Stable")]
    assert everything(back)


def test_offsets_stay_with_the_group(world: ConsumerWorld) -> None:
    """A classic member commits with its generation, before, meanwhile and after."""
    old = ClassicConsumer(world)
    run(old)
    request = CommitRequest(
        group_id="g",
        member_id=old.member_id,
        generation=old.generation,
        offsets={P0: OffsetToCommit(5)},
    )
    assert world.coordinator.commit_offsets(request)[P0] is ErrorCode.NONE
    new = Consumer(world, "n")
    new.join()
    # In its old generation still, until it has joined again.
    assert world.coordinator.commit_offsets(request)[P0] is ErrorCode.NONE
    run(new, old)
    assert world.coordinator.commit_offsets(request)[P0] is ErrorCode.ILLEGAL_GENERATION
    new.leave()
    run(old)
    assert world.coordinator.fetch_offsets("g", [P0]).offsets[P0].offset == 5


def test_whoever_waits_in_a_classic_group_is_told_to_join_again(world: ConsumerWorld) -> None:
    """A rebalance that was going on ends for everybody."""
    old = [ClassicConsumer(world, name) for name in ("k1", "k2")]
    run(*old)
    third = ClassicConsumer(world, "k3")
    third.join()
    assert third.waits
    new = Consumer(world, "n")
    new.join()
    assert (third.waits, third.errors[-1]) == (False, ErrorCode.REBALANCE_IN_PROGRESS)
    run(new, third, *old)
    assert everything([new, third, *old])


@pytest.mark.parametrize(
    ("policy", "up", "down"),
    [
        ("bidirectional", True, True),
        ("upgrade", True, False),
        ("downgrade", False, True),
        ("disabled", False, False),
    ],
)
def test_the_policy_says_which_way_a_group_may_go(policy: str, up: bool, down: bool) -> None:
    """group.consumer.migration.policy."""
    world = ConsumerWorld(group_consumer_migration_policy=policy)
    old, new = ClassicConsumer(world), Consumer(world, "n")
    run(old)
    assert (new.join().error is ErrorCode.NONE) is up
    world = ConsumerWorld(group_consumer_migration_policy=policy)
    old, new = ClassicConsumer(world), Consumer(world, "n")
    run(new, old)
    new.leave()
    run(old)
    assert (types(world)[0][0] == "classic") is down
    assert old.has() == [0, 1, 2, 3]


def test_an_empty_group_changes_its_protocol_whatever_the_policy(world: ConsumerWorld) -> None:
    """Nobody is in it who could mind; its offsets stay."""
    world = ConsumerWorld(group_consumer_migration_policy="disabled")
    old, new = ClassicConsumer(world), Consumer(world, "n")
    run(old)
    old.leave()
    assert new.join().error is ErrorCode.NONE
    assert types(world) == [("consumer", "Stable")]
    new.leave()
    run(old)
    assert types(world) == [("classic", "Stable")]
    world.restart()
    assert types(world) == [("classic", "Stable")]


def test_a_group_of_another_type_stays_what_it_is(world: ConsumerWorld) -> None:
    """Kafka Connect's workers do not consume."""
    Client(world, protocol_type="connect").join()
    result = Consumer(world, "n").join()
    assert result.error is ErrorCode.GROUP_ID_NOT_FOUND
    assert types(world)[0][0] == "classic"


def test_a_classic_member_that_cannot_go_back_with_the_others_is_refused(world: ConsumerWorld) -> None:
    """Its protocols, its type, or its metadata do not fit."""
    run(Consumer(world, "n"))
    for client in (
        Client(world, protocol_type="connect"),
        Client(world, protocols=()),
        Client(world, protocols=(("turns", b"nonsense"),)),
    ):
        client.join()
        assert client.joins[-1].error is ErrorCode.INCONSISTENT_GROUP_PROTOCOL
    old = ClassicConsumer(world)
    run(old)
    other = Client(world, protocols=(("sticky", b""),))
    other.join()
    assert other.joins[-1].error is ErrorCode.INCONSISTENT_GROUP_PROTOCOL


def test_a_classic_member_is_out_when_it_is_silent_or_does_not_go_on(world: ConsumerWorld) -> None:
    """Its own session timeout; its rebalance timeout to join after it was asked to, and to sync after it joined."""
    new, old = Consumer(world, "n"), ClassicConsumer(world)
    run(new, old)
    world.advance(SESSION_MS - 1)
    new.beat()
    assert old.beat() is ErrorCode.NONE
    world.advance(SESSION_MS)
    new.beat()
    assert old.beat() is ErrorCode.UNKNOWN_MEMBER_ID
    run(new, old)
    third = Consumer(world, "n3")
    third.join()
    # It hears that it has to join, and goes on as if it had not.
    for _ in range(7):
        error = world.coordinator.heartbeat("g", old.member_id, None, old.generation)
        world.advance(5_000)
        new.beat()
        third.beat()
        assert error in (ErrorCode.REBALANCE_IN_PROGRESS, ErrorCode.UNKNOWN_MEMBER_ID)
    run(new, third)
    assert everything([new, third])


def test_a_static_member_changes_its_protocol_in_place(world: ConsumerWorld) -> None:
    """The classic process is stopped, the new one comes under the same instance id, and the other way round."""
    old, other = ClassicConsumer(world, instance_id="i"), ClassicConsumer(world, "k2")
    run(old, other)
    new = Consumer(world, "n", instance_id="i")
    old.owned = []
    run(new, other)
    assert everything([new, other])
    assert world.coordinator.heartbeat("g", old.member_id, "i", old.generation) is ErrorCode.FENCED_INSTANCE_ID
    again = ClassicConsumer(world, instance_id="i")
    new.owned = {}
    run(again, other)
    assert everything([again, other])
    assert types(world) == [("classic", "Stable")]


def test_members_of_both_protocols_may_be_removed_by_the_classic_request(world: ConsumerWorld) -> None:
    """As an operator does it, by member or by instance id."""
    Consumer(world, "n").join()
    Consumer(world, "s", instance_id="i").join()
    left = world.coordinator.leave("g", [LeavingMember("n"), LeavingMember("x"), LeavingMember("", "i")])
    assert [each.error for each in left.members] == [
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.NONE,
    ]


def test_a_mixed_group_survives_a_restart(world: ConsumerWorld) -> None:
    """Classic members and all."""
    new, old = Consumer(world, "n"), ClassicConsumer(world)
    run(new, old)
    before = world.coordinator.describe_consumer("g")
    world.restart()
    assert world.coordinator.describe_consumer("g") == before
    assert (new.beat().error, old.beat()) == (ErrorCode.NONE, ErrorCode.NONE)
