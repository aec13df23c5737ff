"""
A group changes its protocol: a classic group becomes a consumer group, and back, with its members and what they have.

Up      the first ConsumerGroupHeartbeat with epoch 0 turns a classic group of consumers into a consumer group. Its
        members stay with what they were assigned, as classic members in the epoch of their generation
Down    when the last member of the consumer protocol goes and classic members stay, they are a classic group again,
        whose generation is the group epoch, and which rebalances at once; not, though, when a static classic member
        has taken the place of the last one: then all go on with what they have
Whether it may is group.consumer.migration.policy.

Source  KIP-848; Kafka's ConsumerGroup.fromClassicGroup and ClassicGroup.fromConsumerGroup
"""

from collections.abc import Mapping

from broker.groups.consumer.roster import Roster
from broker.groups.consumer.state import ConsumerGroup
from broker.groups.consumer.stored import StoredConsumerGroup
from broker.groups.consumer.topics import Topics
from broker.groups.consumer.values import (
    ClassicProtocols,
    CurrentAssignment,
    GroupEpoch,
    MemberMetadata,
    TargetEpoch,
    numbers,
)
from broker.groups.consumer_protocol import (
    CONSUMER,
    MalformedConsumerProtocol,
    read_assignment,
    read_subscription,
    write_assignment,
)
from broker.groups.moment import Moment
from broker.groups.state import Group
from broker.groups.values import StoredGroup, StoredMember
from broker.identifiers import TopicId


def upgraded(group: Group, topics: Topics, at: Moment) -> StoredConsumerGroup:
    """
    The consumer group that *group* becomes. Raises MalformedConsumerProtocol for members that are no consumers, or
    whose leader's assignment cannot be read.
    """
    stored = StoredConsumerGroup(
        epoch=GroupEpoch(group.generation, 0), target_epoch=TargetEpoch(group.generation, at.wall_ms)
    )
    taken: set[tuple[TopicId, int]] = set()
    for member in group.members():
        protocols = tuple(member.protocols.items())
        subscription = read_subscription(member.metadata(group.protocol) or protocols[0][1])
        assigned: dict[TopicId, Mapping[int, int]] = {}
        for name, partitions in read_assignment(member.assignment).items():
            topic = topics.find(name)
            if topic is None:
                continue
            # A client's assignor may have given a partition to two; here nobody ever shares one.
            own = {each for each in partitions if (topic.id, each) not in taken}
            taken |= {(topic.id, each) for each in own}
            assigned[topic.id] = dict.fromkeys(sorted(own), group.generation)
        stored.members[member.id] = MemberMetadata(
            instance_id=member.instance_id,
            rack_id=subscription.rack_id,
            client_id=member.client_id,
            client_host=member.client_host,
            subscribed_names=subscription.topics,
            rebalance_timeout_ms=member.rebalance_timeout_ms,
            classic=ClassicProtocols(member.session_timeout_ms, protocols),
        )
        stored.current[member.id] = CurrentAssignment(
            member_epoch=group.generation, previous_epoch=group.generation, assigned=assigned
        )
        stored.targets[member.id] = numbers(assigned)
    return stored


def downgraded(group: ConsumerGroup, topics: Topics, at: Moment) -> StoredGroup:
    """The classic group that *group*, which `becomes_classic`, is then."""
    protocol = _common_protocol(group.roster)
    members: list[StoredMember] = []
    for member_id in group.roster:
        metadata = group.roster[member_id]
        classic = metadata.classic
        if classic is None:
            raise ValueError(f"group {group.id!r}: member {member_id!r} speaks the consumer protocol")
        subscription = dict(classic.protocols)[protocol]
        target = {
            topic.name: sorted(partitions)
            for topic_id, partitions in group.roster.target(member_id).items()
            if (topic := topics.find_by_id(topic_id)) is not None
        }
        members.append(
            StoredMember(
                member_id,
                metadata.instance_id,
                metadata.client_id,
                metadata.client_host,
                metadata.rebalance_timeout_ms,
                classic.session_timeout_ms,
                subscription,
                write_assignment(_version(subscription), target),
            )
        )
    leader = next(iter(group.roster))
    return StoredGroup(CONSUMER, group.roster.epoch.epoch, protocol, leader, at.wall_ms, tuple(members))


def _common_protocol(roster: Roster) -> str:
    """The first member's most preferred protocol that all of them have; joins without one have been refused."""
    offers = [[name for name, _ in each.classic.protocols] for each in roster.metadata() if each.classic is not None]
    return next(name for name in offers[0] if all(name in offer for offer in offers))


def _version(subscription: bytes) -> int:
    try:
        return read_subscription(subscription).version
    except MalformedConsumerProtocol:
        return 0
