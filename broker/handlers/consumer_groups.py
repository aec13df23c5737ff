"""
ConsumerGroupHeartbeat (key 68), v0-1: joins, stays, reports and leaves (KIP-848).

Behaviour
  - Epoch 0 joins, with everything that the member has to say; later only what has changed is said, on both sides. -1
    leaves, -2 leaves for a while (static members). See groups/consumer/state.
  - The assignment is in the answer when it has changed, and when the member has said everything.
  - INVALID_REQUEST, GROUP_ID_NOT_FOUND (a classic group that may not become one of these, too), UNKNOWN_MEMBER_ID,
    FENCED_MEMBER_EPOCH, UNRELEASED_INSTANCE_ID, FENCED_INSTANCE_ID, UNSUPPORTED_ASSIGNOR, INVALID_REGULAR_EXPRESSION,
    GROUP_MAX_SIZE_REACHED.
Version notes
  - v1 regular expressions; the client makes its member id (KIP-1082)

ConsumerGroupDescribe (key 69), v0-1: epochs, members, what they have and what they are to have.

Behaviour
  - A group that is not there, or is a classic one: GROUP_ID_NOT_FOUND with words.
Version notes
  - v1 the member's type: 0 classic, 1 consumer (KIP-1099)
"""

from collections.abc import Sequence

from broker.errors import ErrorCode
from broker.groups import ConsumerMemberDescription, HeartbeatRequest, Partitions
from broker.handlers import authorized_operations
from broker.handlers.context import RequestContext
from broker.identifiers import TopicId
from broker.topics import Catalog
from broker.wire.messages.consumer_groups import (
    ConsumerGroupDescribeAssignment,
    ConsumerGroupDescribeMember,
    ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse,
    ConsumerGroupDescribeTopicPartitions,
    ConsumerGroupDescription,
    ConsumerGroupHeartbeatAssignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatRequestTopicPartitions,
    ConsumerGroupHeartbeatResponse,
    ConsumerGroupHeartbeatResponseTopicPartitions,
)

_CLASSIC_MEMBER, _CONSUMER_MEMBER = 0, 1


def handle_consumer_group_heartbeat(
    context: RequestContext, request: ConsumerGroupHeartbeatRequest
) -> ConsumerGroupHeartbeatResponse:
    names = request.subscribed_topic_names
    result = context.broker.groups.consumer_heartbeat(
        HeartbeatRequest(
            group_id=request.group_id,
            member_id=request.member_id,
            member_epoch=request.member_epoch,
            instance_id=request.instance_id,
            rack_id=request.rack_id,
            client_id=context.client_id,
            client_host=context.client_host,
            rebalance_timeout_ms=request.rebalance_timeout_ms,
            subscribed_names=None if names is None else frozenset(names),
            subscribed_regex=request.subscribed_topic_regex,
            assignor=request.server_assignor,
            owned=None if request.topic_partitions is None else _owned(request.topic_partitions),
            makes_member_id=context.version >= 1,
        )
    )
    return ConsumerGroupHeartbeatResponse(
        error_code=result.error,
        error_message=result.message,
        member_id=result.member_id,
        member_epoch=result.member_epoch,
        heartbeat_interval_ms=result.heartbeat_interval_ms,
        assignment=None if result.assignment is None else _assignment(result.assignment),
    )


def _owned(topics: Sequence[ConsumerGroupHeartbeatRequestTopicPartitions]) -> Partitions:
    owned: dict[TopicId, frozenset[int]] = {}
    for each in topics:
        topic_id = TopicId(each.topic_id)
        owned[topic_id] = owned.get(topic_id, frozenset()) | frozenset(each.partitions)
    return owned


def _assignment(partitions: Partitions) -> ConsumerGroupHeartbeatAssignment:
    return ConsumerGroupHeartbeatAssignment(
        topic_partitions=[
            ConsumerGroupHeartbeatResponseTopicPartitions(topic_id=topic_id, partitions=sorted(numbers))
            for topic_id, numbers in partitions.items()
        ]
    )


def handle_consumer_group_describe(
    context: RequestContext, request: ConsumerGroupDescribeRequest
) -> ConsumerGroupDescribeResponse:
    operations = (
        authorized_operations.GROUP if request.include_authorized_operations else authorized_operations.NOT_ASKED
    )
    return ConsumerGroupDescribeResponse(
        groups=[_describe(context, group_id, operations) for group_id in request.group_ids]
    )


def _describe(context: RequestContext, group_id: str, operations: int) -> ConsumerGroupDescription:
    if group_id == "":
        return ConsumerGroupDescription(error_code=ErrorCode.INVALID_GROUP_ID, group_id=group_id)
    groups = context.broker.groups
    group = groups.describe_consumer(group_id)
    if group is None:
        classic = groups.describe(group_id) is not None
        return ConsumerGroupDescription(
            error_code=ErrorCode.GROUP_ID_NOT_FOUND,
            error_message=f"Group {group_id} is not a consumer group." if classic else f"Group {group_id} not found.",
            group_id=group_id,
        )
    return ConsumerGroupDescription(
        group_id=group_id,
        group_state=group.state.value,
        group_epoch=group.group_epoch,
        assignment_epoch=group.assignment_epoch,
        assignor_name=group.assignor,
        members=[_member(context.broker.catalog, member) for member in group.members],
        authorized_operations=operations,
    )


def _member(catalog: Catalog, member: ConsumerMemberDescription) -> ConsumerGroupDescribeMember:
    metadata = member.metadata
    return ConsumerGroupDescribeMember(
        member_id=member.member_id,
        instance_id=metadata.instance_id,
        rack_id=metadata.rack_id,
        member_epoch=member.member_epoch,
        client_id=metadata.client_id,
        # As in DescribeGroups: Java's InetAddress begins with a slash.
        client_host=f"/{metadata.client_host}",
        subscribed_topic_names=sorted(metadata.subscribed_names),
        subscribed_topic_regex=metadata.subscribed_regex or "",
        assignment=_described(catalog, member.assigned),
        target_assignment=_described(catalog, member.target),
        member_type=_CONSUMER_MEMBER if metadata.classic is None else _CLASSIC_MEMBER,
    )


def _described(catalog: Catalog, partitions: Partitions) -> ConsumerGroupDescribeAssignment:
    return ConsumerGroupDescribeAssignment(
        topic_partitions=[
            # A topic that has just been deleted has no name any more, and is about to be revoked.
            ConsumerGroupDescribeTopicPartitions(topic_id=topic_id, topic_name=topic.name, partitions=sorted(numbers))
            for topic_id, numbers in partitions.items()
            if (topic := catalog.find_by_id(topic_id)) is not None
        ]
    )
