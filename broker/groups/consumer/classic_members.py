"""
Members that speak the classic protocol inside a consumer group, while the group moves from one to the other.

The broker assigns for them as well. A classic member sees a rebalance where there is a step for it: a heartbeat is
REBALANCE_IN_PROGRESS, it joins (nobody waits for anybody, nobody leads), syncs, and finds its partitions in the answer.
Its generation is its member epoch. After joining, and after being asked to, it has its rebalance timeout to go on.

Source  KIP-848, "online migration"; Kafka's classicGroup…ToConsumerGroup
"""

from collections.abc import Mapping, Sequence

from broker.errors import ErrorCode, KafkaError
from broker.groups.consumer.state import ConsumerGroup
from broker.groups.consumer.timers import FOREVER
from broker.groups.consumer.topics import Topics
from broker.groups.consumer.values import (
    ClassicProtocols,
    MemberMetadata,
    MemberState,
    Partitions,
)
from broker.groups.consumer_protocol import (
    CONSUMER,
    MalformedConsumerProtocol,
    read_subscription,
    write_assignment,
)
from broker.groups.moment import Moment
from broker.groups.values import JoinRequest, JoinResult, LeavingMember, LeftMember, SyncRequest, SyncResult


class ClassicMembers:
    """The four classic requests, for a consumer group. Errors are raised as KafkaError and have changed nothing."""

    __slots__ = ("_group", "_topics")

    def __init__(self, group: ConsumerGroup, topics: Topics) -> None:
        self._group = group
        self._topics = topics

    def join(self, request: JoinRequest, new_member_id: str, at: Moment) -> JoinResult:
        """MEMBER_ID_REQUIRED is in the result: the member is to come again with the id that it is given."""
        group = self._group
        member_id = request.member_id or new_member_id
        group.refuse_when_full(member_id, request.instance_id)
        self._refuse_protocols(request, member_id)
        if request.member_id == "" and request.instance_id is None and request.requires_known_member_id:
            return JoinResult(error=ErrorCode.MEMBER_ID_REQUIRED, member_id=member_id)
        try:
            subscription = read_subscription(request.protocols[0][1])
        except MalformedConsumerProtocol as error:
            raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, str(error)) from error
        if request.instance_id is not None:
            present = group.roster.static(request.instance_id)
            if request.member_id != "":
                group.known_static(request.instance_id, member_id)
            elif present is not None:
                group.take_place(present, member_id, at)
        known = group.roster[member_id] if member_id in group.roster else MemberMetadata()
        timeout_ms = request.rebalance_timeout_ms if request.rebalance_timeout_ms >= 0 else request.session_timeout_ms
        metadata = known._replace(
            instance_id=request.instance_id or known.instance_id,
            rack_id=subscription.rack_id or known.rack_id,
            client_id=request.client_id,
            client_host=request.client_host,
            subscribed_names=subscription.topics,
            subscribed_regex=None,
            rebalance_timeout_ms=timeout_ms,
            classic=ClassicProtocols(request.session_timeout_ms, tuple(request.protocols)),
        )
        current = group.admit(member_id, metadata, self._ids(subscription.owned), at)
        timers = group.timers(member_id)
        timers.join = FOREVER
        timers.sync = at.now + timeout_ms / 1000
        return JoinResult(
            generation=current.member_epoch,
            protocol_type=CONSUMER,
            protocol=request.protocols[0][0],
            member_id=member_id,
        )

    def sync(self, request: SyncRequest, at: Moment) -> SyncResult:
        group = self._group
        classic = self._current(request.member_id, request.instance_id, request.generation)
        protocol = classic.protocols[0][0]
        other_type = request.protocol_type not in (None, CONSUMER)
        if other_type or request.protocol not in (None, protocol):
            raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
        current = group.roster.current(request.member_id)
        behind = group.roster.epoch.epoch > current.member_epoch
        # One that has to give something up first has its assignment, without that, to fetch.
        if behind and current.state is not MemberState.UNREVOKED_PARTITIONS:
            self._ask_to_join(request.member_id, at)
            raise KafkaError(ErrorCode.REBALANCE_IN_PROGRESS)
        group.timers(request.member_id).sync = FOREVER
        group.heard(request.member_id, at)
        assigned = {
            topic.name: sorted(partitions)
            for topic_id, partitions in current.assigned.items()
            if (topic := self._topics.find_by_id(topic_id)) is not None
        }
        version = read_subscription(classic.protocols[0][1]).version
        return SyncResult(protocol_type=CONSUMER, protocol=protocol, assignment=write_assignment(version, assigned))

    def heartbeat(self, member_id: str, instance_id: str | None, generation: int, at: Moment) -> None:
        """Raises KafkaError REBALANCE_IN_PROGRESS when there is a step for the member to take."""
        group = self._group
        self._current(member_id, instance_id, generation)
        group.heard(member_id, at)
        current = group.roster.current(member_id)
        behind = current.member_epoch < group.roster.epoch.epoch
        revokes = current.state is MemberState.UNREVOKED_PARTITIONS
        waits = current.state is MemberState.UNRELEASED_PARTITIONS
        if behind or revokes or (waits and self._some_are_free(member_id)):
            self._ask_to_join(member_id, at)
            raise KafkaError(ErrorCode.REBALANCE_IN_PROGRESS)

    def leave(self, leaving: Sequence[LeavingMember], at: Moment) -> list[LeftMember]:
        """All of *leaving* go at once, whatever their protocol: this is also how an operator removes members."""
        left: list[LeftMember] = []
        gone: list[str] = []
        for each in leaving:
            try:
                member_id = self._leaving(each)
            except KafkaError as error:
                left.append(LeftMember(each.member_id, each.instance_id, error.code))
                continue
            if member_id not in gone:
                gone.append(member_id)
            left.append(LeftMember(each.member_id, each.instance_id, ErrorCode.NONE))
        self._group.remove(gone, at)
        return left

    def _leaving(self, each: LeavingMember) -> str:
        group = self._group
        member_id = each.member_id
        if each.instance_id is not None:
            member_id = member_id or group.roster.static(each.instance_id) or ""
            group.known_static(each.instance_id, member_id)
            return member_id
        group.known(member_id)
        return member_id

    def _current(self, member_id: str, instance_id: str | None, generation: int) -> ClassicProtocols:
        """What a classic member of this generation has said. Raises KafkaError for anybody else."""
        group = self._group
        if instance_id is not None:
            group.known_static(instance_id, member_id)
        group.known(member_id)
        classic = group.roster[member_id].classic
        if classic is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"Member {member_id} does not use the classic protocol.")
        if generation != group.roster.current(member_id).member_epoch:
            raise KafkaError(ErrorCode.ILLEGAL_GENERATION)
        return classic

    def _refuse_protocols(self, request: JoinRequest, member_id: str) -> None:
        """The group's classic members must have a protocol in common: it may have to become a classic group again."""
        others = [
            {name for name, _ in metadata.classic.protocols}
            for other_id in self._group.roster
            if other_id != member_id and (metadata := self._group.roster[other_id]).classic is not None
        ]
        names = {name for name, _ in request.protocols}
        if request.protocol_type != CONSUMER or not names or (others and not names.intersection(*others)):
            raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)

    def _ask_to_join(self, member_id: str, at: Moment) -> None:
        timers = self._group.timers(member_id)
        if timers.join == FOREVER:
            timers.join = at.now + max(0, self._group.roster[member_id].rebalance_timeout_ms) / 1000

    def _some_are_free(self, member_id: str) -> bool:
        roster = self._group.roster
        assigned = roster.current(member_id).assigned
        return any(
            partition not in assigned.get(topic_id, {}) and roster.owner(topic_id, partition) in (None, member_id)
            for topic_id, partitions in roster.target(member_id).items()
            for partition in partitions
        )

    def _ids(self, owned: Mapping[str, frozenset[int]]) -> Partitions:
        """*owned* by topic ids; what is owned of topics that are gone need not be given up."""
        return {
            topic.id: partitions for name, partitions in owned.items() if (topic := self._topics.find(name)) is not None
        }
