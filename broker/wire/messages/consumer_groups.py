"""
The consumer groups of KIP-848, whose assignments the broker makes.

ConsumerGroupHeartbeat (key 68): joins, stays, reports and leaves, all in one; fields that did not change are null
    v1  subscription by regular expression; the client makes its own member id (KIP-1082)
ConsumerGroupDescribe (key 69)
    v1  the member's type (KIP-1099)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct
from broker.wire.primitives import NO_UUID


class ConsumerGroupHeartbeatRequestTopicPartitions(Struct):
    """In `ConsumerGroupHeartbeatRequest.topic_partitions`."""

    topic_id: Annotated[UUID, "uuid 0+"] = NO_UUID
    partitions: Annotated[Sequence[int], "[]int32 0+"] = ()


class ConsumerGroupHeartbeatRequest(Request, api=ApiKey.CONSUMER_GROUP_HEARTBEAT):
    """ConsumerGroupHeartbeat request (key 68), v0-1, flexible from v0."""

    group_id: Annotated[str, "string 0+"] = ""
    member_id: Annotated[str, "string 0+"] = ""
    member_epoch: Annotated[int, "int32 0+"] = 0
    instance_id: Annotated[str | None, "string 0+ null 0+"] = None
    rack_id: Annotated[str | None, "string 0+ null 0+"] = None
    rebalance_timeout_ms: Annotated[int, "int32 0+"] = -1
    subscribed_topic_names: Annotated[Sequence[str] | None, "[]string 0+ null 0+"] = None
    subscribed_topic_regex: Annotated[str | None, "string 1+ null 1+"] = None
    server_assignor: Annotated[str | None, "string 0+ null 0+"] = None
    topic_partitions: Annotated[
        Sequence[ConsumerGroupHeartbeatRequestTopicPartitions] | None, "[]struct 0+ null 0+"
    ] = None


class ConsumerGroupHeartbeatResponseTopicPartitions(Struct):
    """In `ConsumerGroupHeartbeatResponse.assignment.topic_partitions`."""

    topic_id: Annotated[UUID, "uuid 0+"] = NO_UUID
    partitions: Annotated[Sequence[int], "[]int32 0+"] = ()


class ConsumerGroupHeartbeatAssignment(Struct):
    """In `ConsumerGroupHeartbeatResponse.assignment`."""

    topic_partitions: Annotated[Sequence[ConsumerGroupHeartbeatResponseTopicPartitions], "[]struct 0+"] = ()


class ConsumerGroupHeartbeatResponse(Response, api=ApiKey.CONSUMER_GROUP_HEARTBEAT):
    """ConsumerGroupHeartbeat response (key 68), v0-1, flexible from v0."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = None
    member_id: Annotated[str | None, "string 0+ null 0+"] = None
    member_epoch: Annotated[int, "int32 0+"] = 0
    heartbeat_interval_ms: Annotated[int, "int32 0+"] = 0
    assignment: Annotated[ConsumerGroupHeartbeatAssignment | None, "struct 0+ null 0+"] = None


class ConsumerGroupDescribeRequest(Request, api=ApiKey.CONSUMER_GROUP_DESCRIBE):
    """ConsumerGroupDescribe request (key 69), v0-1, flexible from v0."""

    group_ids: Annotated[Sequence[str], "[]string 0+"] = ()
    include_authorized_operations: Annotated[bool, "bool 0+"] = False


class ConsumerGroupDescribeTopicPartitions(Struct):
    """In `ConsumerGroupDescribeResponse.groups.members.assignment.topic_partitions`."""

    topic_id: Annotated[UUID, "uuid 0+"] = NO_UUID
    topic_name: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[int], "[]int32 0+"] = ()


class ConsumerGroupDescribeAssignment(Struct):
    """In `ConsumerGroupDescribeResponse.groups.members.assignment`."""

    topic_partitions: Annotated[Sequence[ConsumerGroupDescribeTopicPartitions], "[]struct 0+"] = ()


class ConsumerGroupDescribeMember(Struct):
    """In `ConsumerGroupDescribeResponse.groups.members`."""

    member_id: Annotated[str, "string 0+"] = ""
    instance_id: Annotated[str | None, "string 0+ null 0+"] = None
    rack_id: Annotated[str | None, "string 0+ null 0+"] = None
    member_epoch: Annotated[int, "int32 0+"] = 0
    client_id: Annotated[str, "string 0+"] = ""
    client_host: Annotated[str, "string 0+"] = ""
    subscribed_topic_names: Annotated[Sequence[str], "[]string 0+"] = ()
    subscribed_topic_regex: Annotated[str | None, "string 0+ null 0+"] = None
    assignment: Annotated[ConsumerGroupDescribeAssignment, "struct 0+"]
    target_assignment: Annotated[ConsumerGroupDescribeAssignment, "struct 0+"]
    member_type: Annotated[int, "int8 1+"] = -1


class ConsumerGroupDescription(Struct):
    """In `ConsumerGroupDescribeResponse.groups`."""

    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = None
    group_id: Annotated[str, "string 0+"] = ""
    group_state: Annotated[str, "string 0+"] = ""
    group_epoch: Annotated[int, "int32 0+"] = 0
    assignment_epoch: Annotated[int, "int32 0+"] = 0
    assignor_name: Annotated[str, "string 0+"] = ""
    members: Annotated[Sequence[ConsumerGroupDescribeMember], "[]struct 0+"] = ()
    authorized_operations: Annotated[int, "int32 0+"] = -2147483648


class ConsumerGroupDescribeResponse(Response, api=ApiKey.CONSUMER_GROUP_DESCRIBE):
    """ConsumerGroupDescribe response (key 69), v0-1, flexible from v0."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    groups: Annotated[Sequence[ConsumerGroupDescription], "[]struct 0+"] = ()
