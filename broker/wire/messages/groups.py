"""
Membership of classic consumer groups.

JoinGroup (key 11)
    v0  the session timeout is the rebalance timeout too; librdkafka asks for this version to detect features
    v1  a rebalance timeout of its own (KIP-62)
    v2  throttle time
    v4  a first join is sent back with MEMBER_ID_REQUIRED and its member id (KIP-394)
    v5  group instance id (KIP-345)
    v6  flexible
    v7  protocol type in the answer (KIP-559)
    v8  a reason (KIP-800)
    v9  the leader is told to skip the assignment when its static membership goes on (KIP-814)
SyncGroup (key 14)
    v1  throttle time
    v3  group instance id (KIP-345)
    v4  flexible
    v5  protocol type and name (KIP-559)
Heartbeat (key 12)
    v1  throttle time
    v3  group instance id (KIP-345)
    v4  flexible
LeaveGroup (key 13)
    v1  throttle time
    v3  many members, by member id or instance id (KIP-345): `members` takes the place of `member_id`
    v4  flexible
    v5  a reason (KIP-800)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct


class JoinGroupRequestProtocol(Struct):
    """In `JoinGroupRequest.protocols`."""

    name: Annotated[str, "string 0+"] = ""
    metadata: Annotated[bytes, "bytes 0+"] = b""


class JoinGroupRequest(Request, api=ApiKey.JOIN_GROUP):
    """JoinGroup request (key 11), v0-9, flexible from v6."""

    group_id: Annotated[str, "string 0+"] = ""
    session_timeout_ms: Annotated[int, "int32 0+"] = 0
    rebalance_timeout_ms: Annotated[int, "int32 1+"] = -1
    member_id: Annotated[str, "string 0+"] = ""
    group_instance_id: Annotated[str | None, "string 5+ null 5+"] = None
    protocol_type: Annotated[str, "string 0+"] = ""
    protocols: Annotated[Sequence[JoinGroupRequestProtocol], "[]struct 0+"] = ()
    reason: Annotated[str | None, "string 8+ null 8+"] = None


class JoinGroupResponseMember(Struct):
    """In `JoinGroupResponse.members`."""

    member_id: Annotated[str, "string 0+"] = ""
    group_instance_id: Annotated[str | None, "string 5+ null 5+"] = None
    metadata: Annotated[bytes, "bytes 0+"] = b""


class JoinGroupResponse(Response, api=ApiKey.JOIN_GROUP):
    """JoinGroup response (key 11), v0-9, flexible from v6."""

    throttle_time_ms: Annotated[int, "int32 2+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    generation_id: Annotated[int, "int32 0+"] = -1
    protocol_type: Annotated[str | None, "string 7+ null 7+"] = None
    protocol_name: Annotated[str | None, "string 0+ null 7+"] = ""
    leader: Annotated[str, "string 0+"] = ""
    skip_assignment: Annotated[bool, "bool 9+"] = False
    member_id: Annotated[str, "string 0+"] = ""
    members: Annotated[Sequence[JoinGroupResponseMember], "[]struct 0+"] = ()


class SyncGroupRequestAssignment(Struct):
    """In `SyncGroupRequest.assignments`."""

    member_id: Annotated[str, "string 0+"] = ""
    assignment: Annotated[bytes, "bytes 0+"] = b""


class SyncGroupRequest(Request, api=ApiKey.SYNC_GROUP):
    """SyncGroup request (key 14), v0-5, flexible from v4."""

    group_id: Annotated[str, "string 0+"] = ""
    generation_id: Annotated[int, "int32 0+"] = 0
    member_id: Annotated[str, "string 0+"] = ""
    group_instance_id: Annotated[str | None, "string 3+ null 3+"] = None
    protocol_type: Annotated[str | None, "string 5+ null 5+"] = None
    protocol_name: Annotated[str | None, "string 5+ null 5+"] = None
    assignments: Annotated[Sequence[SyncGroupRequestAssignment], "[]struct 0+"] = ()


class SyncGroupResponse(Response, api=ApiKey.SYNC_GROUP):
    """SyncGroup response (key 14), v0-5, flexible from v4."""

    throttle_time_ms: Annotated[int, "int32 1+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    protocol_type: Annotated[str | None, "string 5+ null 5+"] = None
    protocol_name: Annotated[str | None, "string 5+ null 5+"] = None
    assignment: Annotated[bytes, "bytes 0+"] = b""


class HeartbeatRequest(Request, api=ApiKey.HEARTBEAT):
    """Heartbeat request (key 12), v0-4, flexible from v4."""

    group_id: Annotated[str, "string 0+"] = ""
    generation_id: Annotated[int, "int32 0+"] = 0
    member_id: Annotated[str, "string 0+"] = ""
    group_instance_id: Annotated[str | None, "string 3+ null 3+"] = None


class HeartbeatResponse(Response, api=ApiKey.HEARTBEAT):
    """Heartbeat response (key 12), v0-4, flexible from v4."""

    throttle_time_ms: Annotated[int, "int32 1+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0


class MemberIdentity(Struct):
    """In `LeaveGroupRequest.members`."""

    member_id: Annotated[str, "string 3+"] = ""
    group_instance_id: Annotated[str | None, "string 3+ null 3+"] = None
    reason: Annotated[str | None, "string 5+ null 5+"] = None


class LeaveGroupRequest(Request, api=ApiKey.LEAVE_GROUP):
    """LeaveGroup request (key 13), v0-5, flexible from v4."""

    group_id: Annotated[str, "string 0+"] = ""
    member_id: Annotated[str, "string 0-2"] = ""
    members: Annotated[Sequence[MemberIdentity], "[]struct 3+"] = ()


class MemberResponse(Struct):
    """In `LeaveGroupResponse.members`."""

    member_id: Annotated[str, "string 3+"] = ""
    group_instance_id: Annotated[str | None, "string 3+ null 3+"] = ""
    error_code: Annotated[int, "int16 3+"] = 0


class LeaveGroupResponse(Response, api=ApiKey.LEAVE_GROUP):
    """LeaveGroup response (key 13), v0-5, flexible from v4."""

    throttle_time_ms: Annotated[int, "int32 1+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    members: Annotated[Sequence[MemberResponse], "[]struct 3+"] = ()
