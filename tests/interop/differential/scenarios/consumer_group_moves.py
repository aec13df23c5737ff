"""Consumer groups in motion: partitions that change hands, members that come back, and groups that change protocols."""

from collections.abc import Sequence

from broker.groups.consumer_protocol import write_assignment
from broker.wire.messages.group_offsets import OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics
from broker.wire.messages.groups import (
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
)
from tests.interop.differential.building import learn_member, new_topic, subscription
from tests.interop.differential.scenario import Ask, Build, Known, Scenario, Step
from tests.interop.differential.scenarios.consumer_groups import beat, learn_beat, seen
from tests.interop.differential.scenarios.groups import commit, deleted, described, heartbeat, leave, listed, sync

_A, _B, _C, _S, _S2, _N = ("FAAAAAAAAAAAAAAAAAAAAA"[:21] + letter for letter in "ABCSTN")
_V1 = [1]


def joining(member: str, group: str = "g", **fields: object) -> Ask:
    """Epoch 0 with everything."""
    build = beat(member, 0, group=group, topics=["t"], owned=[], rebalance_timeout_ms=5000, **fields)  # type: ignore[arg-type]
    return Ask(build, versions=_V1, learn=learn_beat(member))


def report(member: str, owned: Sequence[int] | None = None, group: str = "g", instance: str | None = None) -> Ask:
    return Ask(beat(member, group=group, owned=owned, instance=instance), versions=_V1, learn=learn_beat(member))


def classic_join(
    group: str, member: str = "", *, instance: str | None = None, names: Sequence[str] = ("range",)
) -> Build:
    """As `join`, but with a subscription to the scenario's topic t."""

    def build(known: Known) -> JoinGroupRequest:
        return JoinGroupRequest(
            group_id=known.name(group),
            session_timeout_ms=10_000,
            rebalance_timeout_ms=10_000,
            member_id=known.text(member) if member in known.values else member,
            group_instance_id=instance,
            protocol_type="consumer",
            protocols=[JoinGroupRequestProtocol(name=name, metadata=subscription(known.name("t"))) for name in names],
        )

    return build


def assigning(group: str, member: str, instance: str | None = None) -> Build:
    """The leader gives itself both partitions of t; in a consumer group that is not listened to."""

    def build(known: Known) -> SyncGroupRequest:
        own = SyncGroupRequestAssignment(
            member_id=known.text(member), assignment=write_assignment(0, {known.name("t"): [0, 1]})
        )
        return SyncGroupRequest(
            group_id=known.name(group),
            generation_id=known.number(f"{member}.generation"),
            member_id=known.text(member),
            group_instance_id=instance,
            protocol_type="consumer",
            protocol_name="range",
            assignments=[own],
        )

    return build


def fetched_by(group: str, member: str | None, epoch: int) -> Build:
    def build(known: Known) -> OffsetFetchRequest:
        topic = OffsetFetchRequestTopics(name=known.name("t"), topic_id=known.id("t"), partition_indexes=[0])
        asked = OffsetFetchRequestGroup(
            group_id=known.name(group), member_id=member, member_epoch=epoch, topics=[topic]
        )
        return OffsetFetchRequest(groups=[asked])

    return build


HANDOVER = Scenario(
    "consumer-group-handover",
    [
        *new_topic("t", 4),
        joining(_A),
        # A member that is there joins anew.
        joining(_A),
        joining(_B),
        Ask(beat(_B), versions=_V1),
        report(_A),
        Ask(seen("g")),
        report(_A, [0, 1, 2, 3]),
        # Its answer was lost: the epoch before, with what it may have, and with what it may not.
        report(_A, [0, 1]),
        Ask(beat(_A, 1, owned=[0, 1]), versions=_V1),
        Ask(beat(_A, 1, owned=[0, 1, 2, 3]), versions=_V1),
        Ask(beat(_A, 1), versions=_V1),
        Ask(seen("g")),
        report(_B, []),
        report(_B, [2, 3]),
        Ask(seen("g")),
        Ask(commit("g", 5, member=_A, generation=1), versions=[9, 10]),
        Ask(commit("g", 5, member=_B, generation=1), versions=[9, 10]),
        Ask(commit("g", 5, member=_A, generation=2, partition=3), versions=[9]),
        Ask(commit("g", 5, member=_A, generation=1, partition=3), versions=[9]),
        Ask(fetched_by("g", _A, 2), versions=[9, 10]),
        Ask(fetched_by("g", _A, 1), versions=[9]),
        Ask(fetched_by("g", "stranger", 1), versions=[9]),
        Ask(fetched_by("g", None, -1), versions=[9]),
        Ask(fetched_by("nowhere", _A, 1), versions=[9]),
        Ask(commit("nowhere", 5, member=_A, generation=1), versions=[8, 9]),
        # A full heartbeat is told everything.
        Ask(beat(_A, topics=["t"], owned=[0, 1], rebalance_timeout_ms=5000), versions=_V1),
        Ask(beat(_B, -1), versions=_V1),
        Ask(seen("g")),
        report(_A, [0, 1]),
        Ask(seen("g")),
        Ask(beat(_A, -1), versions=_V1),
        Ask(seen("g")),
        Ask(commit("g", 7), versions=[9]),
        joining(_C),
        Ask(beat(_C, topics=["t"]), versions=_V1),
        Ask(beat(_C, topics=["t", "nothing"]), versions=_V1, learn=learn_beat(_C)),
        Ask(seen("g")),
        Ask(beat(_C, -1), versions=_V1),
        joining(_S, group="s", instance="i"),
        # The same static member joins again without having left.
        joining(_S, group="s", instance="i"),
        Ask(beat(_S, 1, group="s"), versions=_V1),
        Ask(beat(_S, -2, group="s", instance="i"), versions=_V1),
        Ask(seen("s")),
        Ask(beat(_S, 1, group="s", instance="i"), versions=_V1),
        joining(_S, group="s", instance="i"),
        Ask(beat(_S, -2, group="s", instance="i"), versions=_V1),
        joining(_S2, group="s", instance="i"),
        Ask(beat(_S, -1, group="s", instance="i"), versions=_V1),
        Ask(beat(_S2, -2, group="s", instance="i"), versions=_V1),
        Ask(seen("s")),
        Ask(deleted("s"), versions=[2]),
    ],
)


def _both_ways(group: str, instance: str | None = None) -> list[Step]:
    """A classic member, then one of the consumer protocol beside it, which goes again."""
    rejoin = Ask(classic_join(group, f"{group}.k", instance=instance), versions=[9], learn=learn_member(f"{group}.k"))
    return [
        *(
            [Ask(classic_join(group), versions=[9], learn=learn_member(f"{group}.k"))]
            if instance is None
            else [Ask(classic_join(group, instance=instance), versions=[9], learn=learn_member(f"{group}.k"))]
        ),
        *([rejoin] if instance is None else []),
        Ask(assigning(group, f"{group}.k", instance), versions=[5]),
        Ask(heartbeat(group, f"{group}.k", instance=instance), versions=[4]),
        joining(_N, group=group),
        Ask(listed(types=["consumer"]), versions=[5]),
        Ask(described(group), versions=[5, 6]),
        Ask(seen(group)),
        Ask(commit(group, 3, member=f"{group}.k", instance=instance), versions=[8, 9]),
        Ask(sync(group, f"{group}.k", instance=instance), versions=[5]),
        Ask(heartbeat(group, f"{group}.k", instance=instance), versions=[4]),
        Ask(heartbeat(group, f"{group}.k", generation=1, instance=instance), versions=[4]),
        rejoin,
        Ask(heartbeat(group, f"{group}.k", instance=instance), versions=[4]),
        Ask(sync(group, f"{group}.k", protocol="other", instance=instance), versions=[5]),
        Ask(sync(group, f"{group}.k", protocol_type="connect", instance=instance), versions=[5]),
        Ask(sync(group, f"{group}.k", generation=1, instance=instance), versions=[5]),
        Ask(sync(group, f"{group}.k", instance=instance), versions=[4]),
        report(_N, [], group),
        Ask(seen(group)),
        Ask(heartbeat(group, f"{group}.k", instance=instance), versions=[4]),
        rejoin,
        report(_N, [], group),
        Ask(seen(group)),
        Ask(commit(group, 4, member=f"{group}.k", instance=instance), versions=[8, 9]),
        Ask(heartbeat(group, _N, generation=0), versions=[4]),
        Ask(leave(group, _N), versions=[5]),
        Ask(leave(group, "stranger"), versions=[2, 5]),
        Ask(classic_join(group, names=["other"]), versions=[9]),
        Ask(beat(_N, -1, group=group), versions=_V1),
        Ask(listed(types=["consumer"]), versions=[5]),
        Ask(seen(group)),
        Ask(heartbeat(group, f"{group}.k", instance=instance), versions=[4]),
        rejoin,
        Ask(assigning(group, f"{group}.k", instance), versions=[5]),
        Ask(heartbeat(group, f"{group}.k", instance=instance), versions=[4]),
        Ask(described(group), versions=[6]),
        Ask(leave(group, f"{group}.k", instance=instance), versions=[5]),
        # Empty: it may be either.
        joining(_N, group=group),
        Ask(beat(_N, -1, group=group), versions=_V1),
        Ask(classic_join(group, instance="other"), versions=[9], learn=learn_member("last")),
        Ask(described(group), versions=[6]),
    ]


MIGRATION = Scenario(
    "consumer-group-migration", [*new_topic("t", 2), *_both_ways("dynamic"), *_both_ways("static", instance="i")]
)

SCENARIOS = [HANDOVER, MIGRATION]
