"""The classic protocol of groups, offsets, and the administration of groups."""

from collections.abc import Sequence
from typing import cast

from broker.wire.declaration import Message
from broker.wire.messages.group_admin import (
    DeleteGroupsRequest,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    ListGroupsRequest,
)
from broker.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
    OffsetFetchRequestTopics,
)
from broker.wire.messages.groups import (
    HeartbeatRequest,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    LeaveGroupRequest,
    MemberIdentity,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
)
from tests.interop.differential.building import join, learn_member, new_topic
from tests.interop.differential.scenario import Ask, Build, Drop, Known, Pause, Receive, Scenario, Settle, Step


def sync(
    group: str,
    member: str,
    *,
    generation: int = 0,
    instance: str | None = None,
    protocol: str = "range",
    protocol_type: str = "consumer",
    assigned: Sequence[str] = (),
) -> Build:
    """*generation* is added to the member's own; *assigned* are the members that the leader gives something."""

    def build(known: Known) -> SyncGroupRequest:
        return SyncGroupRequest(
            group_id=known.name(group),
            generation_id=known.number(f"{member}.generation") + generation,
            member_id=known.text(member),
            group_instance_id=instance,
            protocol_type=protocol_type,
            protocol_name=protocol,
            assignments=[
                SyncGroupRequestAssignment(member_id=known.text(label), assignment=label.encode()) for label in assigned
            ],
        )

    return build


def heartbeat(group: str, member: str, *, generation: int = 0, instance: str | None = None) -> Build:
    return lambda known: HeartbeatRequest(
        group_id=known.name(group) if group else "",
        generation_id=known.number(f"{member}.generation") + generation,
        member_id=known.text(member) if member in known.values else member,
        group_instance_id=instance,
    )


def leave(group: str, *members: str, instance: str | None = None) -> Build:
    """Up to version 2 the first of *members* alone; with *instance* by instance id."""

    def build(known: Known) -> LeaveGroupRequest:
        ids = [known.text(member) if member in known.values else member for member in members]
        return LeaveGroupRequest(
            group_id=known.name(group) if group else "",
            member_id=ids[0] if ids else "",
            members=[MemberIdentity(member_id=each, group_instance_id=instance) for each in ids],
        )

    return build


def commit(
    group: str,
    offset: int,
    *,
    topic: str = "t",
    partition: int = 0,
    member: str = "",
    generation: int | None = None,
    instance: str | None = None,
    metadata: str | None = "note",
    leader_epoch: int = -1,
) -> Build:
    def build(known: Known) -> OffsetCommitRequest:
        own = known.number(f"{member}.generation") if member in known.values else -1
        asked = OffsetCommitRequestPartition(
            partition_index=partition,
            committed_offset=offset,
            committed_leader_epoch=leader_epoch,
            committed_metadata=metadata,
        )
        return OffsetCommitRequest(
            group_id=known.name(group) if group else "",
            generation_id_or_member_epoch=own if generation is None else generation,
            member_id=known.text(member) if member in known.values else member,
            group_instance_id=instance,
            topics=[OffsetCommitRequestTopic(name=known.name(topic), topic_id=known.id(topic), partitions=[asked])],
        )

    return build


def committed(
    *groups: str, topics: Sequence[str] | None = ("t",), partitions: Sequence[int] = (0, 1), stable: bool = False
) -> Build:
    def build(known: Known) -> OffsetFetchRequest:
        return OffsetFetchRequest(
            group_id=known.name(groups[0]),
            topics=None
            if topics is None
            else [OffsetFetchRequestTopic(name=known.name(each), partition_indexes=partitions) for each in topics],
            groups=[
                OffsetFetchRequestGroup(
                    group_id=known.name(group),
                    topics=None
                    if topics is None
                    else [
                        OffsetFetchRequestTopics(
                            name=known.name(each), topic_id=known.id(each), partition_indexes=partitions
                        )
                        for each in topics
                    ],
                )
                for group in groups
            ],
            require_stable=stable,
        )

    return build


def described(*groups: str, operations: bool = False) -> Build:
    return lambda known: DescribeGroupsRequest(
        groups=[known.name(group) if group else "" for group in groups], include_authorized_operations=operations
    )


def deleted(*groups: str) -> Build:
    return lambda known: DeleteGroupsRequest(groups_names=[known.name(group) if group else "" for group in groups])


def forgotten(group: str, topic: str, *partitions: int) -> Build:
    return lambda known: OffsetDeleteRequest(
        group_id=known.name(group),
        topics=[
            OffsetDeleteRequestTopic(
                name=known.name(topic),
                partitions=[OffsetDeleteRequestPartition(partition_index=index) for index in partitions],
            )
        ],
    )


def listed(states: Sequence[str] = (), types: Sequence[str] = ()) -> Build:
    return lambda known: ListGroupsRequest(states_filter=states, types_filter=types)


def _is_preparing(answer: Message) -> bool:
    return cast("DescribeGroupsResponse", answer).groups[0].group_state == "PreparingRebalance"


def _no_protocols(known: Known) -> JoinGroupRequest:
    return JoinGroupRequest(
        group_id=known.name("g"), session_timeout_ms=10_000, rebalance_timeout_ms=10_000, protocol_type="consumer"
    )


def _no_protocol_type(known: Known) -> JoinGroupRequest:
    return JoinGroupRequest(
        group_id=known.name("g"),
        session_timeout_ms=10_000,
        rebalance_timeout_ms=10_000,
        protocol_type="",
        protocols=[JoinGroupRequestProtocol(name="range", metadata=b"")],
    )


def _alone(version: int) -> list[Step]:
    """One member through its whole life in one version of JoinGroup, and in that of the rest where there is one."""
    group, member = f"alone-{version}", f"alone-{version}"
    first = [Ask(join(group), versions=[version], learn=learn_member(member))]
    if version >= 4:  # it is given an id and has to come again with it
        first.append(Ask(join(group, member), versions=[version], learn=learn_member(member)))
    low = min(version, 5)
    return [
        *first,
        Ask(heartbeat(group, member), versions=[min(version, 4)]),
        Ask(sync(group, member, assigned=[member]), versions=[low]),
        Ask(sync(group, member, assigned=[member]), versions=[low]),
        Ask(heartbeat(group, member), versions=[min(version, 4)]),
        Ask(described(group), versions=[min(version, 6)]),
        Ask(join(group, member), versions=[version], learn=learn_member(member)),
        Ask(sync(group, member, assigned=[member]), versions=[low]),
        Ask(commit(group, 5, member=member), versions=[min(version + 2, 10)]),
        Ask(leave(group, member), versions=[low]),
        Ask(described(group), versions=[min(version, 6)]),
        Ask(deleted(group), versions=[min(version, 2)]),
    ]


LIVES = Scenario(
    "group-lives", [*new_topic("topic"), *new_topic("t"), *(step for version in range(10) for step in _alone(version))]
)

ERRORS = Scenario(
    "group-errors",
    [
        *new_topic("topic"),
        *new_topic("t", 2),
        Ask(join("")),
        Ask(join("g", session_timeout_ms=10)),
        Ask(join("g", session_timeout_ms=10_000_000)),
        Ask(_no_protocols),
        Ask(_no_protocol_type),
        Ask(join("g", "stranger")),
        Ask(heartbeat("nowhere", "stranger")),
        Ask(heartbeat("", "stranger")),
        Ask(leave("nowhere", "stranger")),
        Ask(leave("", "stranger")),
        Ask(sync("nowhere", "stranger")),
        Ask(join("g"), versions=[9], learn=learn_member("a")),
        Ask(join("g", "a"), versions=[9], learn=learn_member("a")),
        Ask(heartbeat("g", "a")),
        Ask(heartbeat("g", "a", generation=1)),
        Ask(heartbeat("g", "a", generation=-1)),
        Ask(heartbeat("g", "stranger")),
        Ask(sync("g", "a", generation=1)),
        Ask(sync("g", "a", protocol="sticky"), versions=[3, 5]),
        Ask(sync("g", "a", protocol_type="connect"), versions=[3, 5]),
        Ask(commit("g", 1, member="a"), versions=[7, 9]),
        Ask(sync("g", "a", assigned=["a"]), versions=[5]),
        Ask(commit("g", 1, member="a")),
        Ask(commit("g", 2, member="a", generation=0)),
        Ask(commit("g", 2, member="a", generation=99)),
        Ask(commit("g", 2, member="stranger", generation=1)),
        Ask(commit("g", 2)),
        Ask(committed("g")),
        Ask(join("g", protocols=["sticky"]), versions=[0, 3, 5, 9]),
        Ask(join("g", protocol_type="connect"), versions=[0, 3, 5, 9]),
        Ask(join("g", protocols=["sticky", "range"]), versions=[9], connection="b", learn=learn_member("b")),
        Ask(join("g", "b", protocols=["sticky", "range"]), versions=[9], connection="b", wait=False),
        Ask(described("g"), versions=[6]),
        Ask(heartbeat("g", "a")),
        Ask(sync("g", "a", assigned=["a"]), versions=[5]),
        Ask(commit("g", 3, member="a"), versions=[9]),
        Ask(join("g", "a"), versions=[9], learn=learn_member("a")),
        Receive("b", learn=learn_member("b")),
        Ask(sync("g", "b"), versions=[5], connection="b", wait=False),
        Ask(commit("g", 4, member="a"), versions=[9]),
        Ask(sync("g", "a", assigned=["a", "b"]), versions=[5]),
        Receive("b"),
        Ask(described("g"), versions=[6]),
        Ask(described("g", "nowhere", operations=True)),
        Ask(deleted("g", "nowhere", "")),
        Ask(leave("g", "b", "stranger")),
        Ask(heartbeat("g", "a")),
        Ask(join("g", "a"), versions=[9], learn=learn_member("a")),
        Ask(sync("g", "a", assigned=["a"]), versions=[5]),
        Ask(leave("g", "a"), versions=[1]),
        Ask(heartbeat("g", "a")),
        Ask(described("g")),
        Ask(commit("g", 7), versions=[9]),
        Ask(committed("g"), versions=[9]),
    ],
)


STATIC = Scenario(
    "static-members",
    [
        *new_topic("topic"),
        *new_topic("t"),
        Ask(join("g", instance="i"), versions=[9], learn=learn_member("a")),
        Ask(sync("g", "a", instance="i", assigned=["a"]), versions=[5]),
        Ask(heartbeat("g", "a", instance="i"), versions=[3, 4]),
        Ask(heartbeat("g", "a", instance="other"), versions=[3, 4]),
        Ask(join("g", instance="i"), versions=[9], connection="b", learn=learn_member("b")),
        Ask(heartbeat("g", "a", instance="i"), versions=[3, 4]),
        Ask(heartbeat("g", "b", instance="i"), versions=[3, 4]),
        Ask(sync("g", "a", instance="i"), versions=[5]),
        Ask(sync("g", "b", instance="i"), versions=[5]),
        Ask(commit("g", 1, member="a", instance="i"), versions=[7, 9]),
        Ask(commit("g", 1, member="b", instance="i"), versions=[7, 9]),
        Ask(join("g", "a", instance="i"), versions=[9]),
        Ask(described("g"), versions=[4, 6]),
        Ask(leave("g", "a", instance="i"), versions=[3, 5]),
        Ask(leave("g", "", instance="other"), versions=[3, 5]),
        Ask(leave("g", "", instance="i"), versions=[5]),
        Ask(described("g"), versions=[6]),
    ],
)

OFFSETS = Scenario(
    "group-offsets",
    [
        *new_topic("t", 2),
        *new_topic("u"),
        Ask(commit("g", 1)),
        Ask(commit("g", 2, metadata=None)),
        Ask(commit("g", 3, metadata="x" * 4096)),
        Ask(commit("g", 4, metadata="x" * 4097)),
        Ask(commit("g", -1)),
        Ask(commit("g", -5), versions=[9]),
        Ask(commit("g", 5, leader_epoch=3)),
        Ask(commit("g", 5, partition=9)),
        Ask(commit("g", 5, topic="nowhere")),
        Ask(commit("", 5)),
        Ask(commit("g", 6, topic="u")),
        Ask(commit("g", 6, generation=3)),
        Ask(commit("g", 6, member="stranger", generation=-1)),
        Ask(commit("h", 7), versions=[9]),
        Ask(committed("g")),
        Ask(committed("g", "h")),
        Ask(committed("g", topics=None), versions=range(2, 11)),
        Ask(committed("g", topics=["t", "nowhere"], partitions=[0, 9])),
        Ask(committed("g", topics=[])),
        Ask(committed("nowhere")),
        Ask(committed("nowhere", topics=None), versions=range(2, 11)),
        Ask(committed("g", stable=True), versions=range(7, 11)),
        Ask(described("g")),
        Ask(forgotten("g", "t", 0, 9)),
        Ask(forgotten("g", "nowhere", 0)),
        Ask(forgotten("nowhere", "t", 0)),
        Ask(committed("g")),
        Ask(deleted("h", "h"), versions=[2]),
        Ask(deleted("g")),
        Ask(committed("g"), versions=[9]),
    ],
)

LISTS = Scenario(
    "list-groups",
    [
        Ask(listed()),
        Ask(listed(["Empty"]), versions=[4, 5]),
        Ask(listed(["empty"]), versions=[4, 5]),
        Ask(listed(["Stable"]), versions=[4, 5]),
        Ask(listed(["Sleeping"]), versions=[4, 5]),
        Ask(listed(types=["classic"]), versions=[5]),
        Ask(listed(types=["Classic"]), versions=[5]),
        Ask(listed(types=["consumer"]), versions=[5]),
        Ask(listed(types=["unheard"]), versions=[5]),
    ],
)

REPEATS = Scenario(
    "group-repeats",
    [
        *new_topic("topic"),
        *new_topic("other"),
        # A static member comes back with another subscription.
        Ask(join("s", instance="i"), versions=[9], learn=learn_member("a")),
        Ask(sync("s", "a", instance="i", assigned=["a"]), versions=[5]),
        Ask(join("s", instance="i", topic="other"), versions=[9], learn=learn_member("a")),
        Ask(sync("s", "a", instance="i", assigned=["a"]), versions=[5]),
        Ask(join("s", instance="i", topic="other"), versions=[9], learn=learn_member("a")),
        Ask(sync("s", "a", instance="i", assigned=["a"]), versions=[5]),
        Ask(described("s"), versions=[6]),
        # A member repeats a request that is still waiting, from another connection.
        Ask(join("g"), versions=[3], learn=learn_member("a")),
        Ask(sync("g", "a", assigned=["a"]), versions=[3]),
        Ask(join("g"), versions=[9], learn=learn_member("b")),
        Ask(join("g", "b"), versions=[9], connection="first", wait=False),
        Settle(described("g"), _is_preparing, version=6),
        Ask(join("g", "b"), versions=[9], connection="second", wait=False),
        Pause(),
        Ask(heartbeat("g", "a"), versions=[4]),
        Ask(join("g", "a"), versions=[3], learn=learn_member("a")),
        Receive("second", learn=learn_member("b")),
        Receive("first", seconds_max=0.5),
        Ask(sync("g", "b"), versions=[5], connection="first", wait=False),
        Pause(),
        Ask(heartbeat("g", "a"), versions=[4]),
        Ask(sync("g", "b"), versions=[5], connection="second", wait=False),
        Pause(),
        Ask(heartbeat("g", "a"), versions=[4]),
        Ask(sync("g", "a", assigned=["a", "b"]), versions=[3]),
        Receive("second"),
        Receive("first", seconds_max=0.5),
        # A waiting member's connection goes away: it counts as joined.
        Ask(join("d"), versions=[3], learn=learn_member("a")),
        Ask(sync("d", "a", assigned=["a"]), versions=[3]),
        Ask(join("d"), versions=[9], learn=learn_member("b")),
        Ask(join("d", "b"), versions=[9], connection="gone", wait=False),
        Settle(described("d"), _is_preparing, version=6),
        Drop("gone"),
        Ask(join("d", "a"), versions=[3], learn=learn_member("a")),
        Ask(sync("d", "a", assigned=["a", "b"]), versions=[3]),
        Ask(heartbeat("d", "a"), versions=[4]),
        Ask(described("d"), versions=[6]),
    ],
)

# The last leaves a group in the middle of a rebalance, so it comes behind what lists groups.
SCENARIOS = [LIVES, ERRORS, STATIC, OFFSETS, LISTS, REPEATS]
