"""
JoinGroup (key 11), v0-9: a member wants to be in the next generation.

Behaviour
  - Parked until everybody has joined or the rebalance timeout is over; the leader is told the members and decides. See
    groups/state.
Version notes
  - v0 has no rebalance timeout; it is kept because librdkafka looks for it. v4 a member without an id is given one and
    asked to come again (KIP-394)
  - v5 static members (KIP-345); v7 protocol type and a null protocol (KIP-559); v8 reason (KIP-800); v9 skip assignment
    (KIP-814)

SyncGroup (key 14), v0-5: the leader brings the assignments, everybody gets theirs. v3 static members; v5 protocol
(KIP-559).

Heartbeat (key 12), v0-4: I am alive. v3 static members.

LeaveGroup (key 13), v0-5: members leave at once instead of by timeout. v3 several members, also by instance id; v5
reason.
"""

from broker.errors import ErrorCode
from broker.groups import (
    JoinRequest,
    JoinResult,
    LeavingMember,
    SyncRequest,
    SyncResult,
)
from broker.handlers.context import RequestContext
from broker.handlers.pending import Pending
from broker.wire.messages.groups import (
    HeartbeatRequest,
    HeartbeatResponse,
    JoinGroupRequest,
    JoinGroupResponse,
    JoinGroupResponseMember,
    LeaveGroupRequest,
    LeaveGroupResponse,
    MemberResponse,
    SyncGroupRequest,
    SyncGroupResponse,
)


def handle_join_group(context: RequestContext, request: JoinGroupRequest) -> Pending[JoinGroupResponse]:
    pending: Pending[JoinGroupResponse] = Pending()
    context.broker.groups.join(
        JoinRequest(
            group_id=request.group_id,
            member_id=request.member_id,
            instance_id=request.group_instance_id,
            client_id=context.client_id,
            client_host=context.client_host,
            session_timeout_ms=request.session_timeout_ms,
            rebalance_timeout_ms=request.rebalance_timeout_ms,
            protocol_type=request.protocol_type,
            protocols=tuple((protocol.name, protocol.metadata) for protocol in request.protocols),
            requires_known_member_id=context.version >= 4,
            supports_skipping_assignment=context.version >= 9,
        ),
        owner=context.owner,
        on_complete=lambda result: pending.complete(_joined(context, result)),
    )
    return pending


def _joined(context: RequestContext, result: JoinResult) -> JoinGroupResponse:
    # A null protocol is possible from v7 on.
    protocol = result.protocol if context.version >= 7 else result.protocol or ""
    return JoinGroupResponse(
        error_code=result.error,
        generation_id=result.generation,
        protocol_type=result.protocol_type,
        protocol_name=protocol,
        leader=result.leader,
        skip_assignment=result.skip_assignment,
        member_id=result.member_id,
        members=[
            JoinGroupResponseMember(
                member_id=member.member_id, group_instance_id=member.instance_id, metadata=member.metadata
            )
            for member in result.members
        ],
    )


def handle_sync_group(context: RequestContext, request: SyncGroupRequest) -> Pending[SyncGroupResponse]:
    pending: Pending[SyncGroupResponse] = Pending()
    context.broker.groups.sync(
        SyncRequest(
            group_id=request.group_id,
            member_id=request.member_id,
            instance_id=request.group_instance_id,
            generation=request.generation_id,
            protocol_type=request.protocol_type,
            protocol=request.protocol_name,
            assignments={each.member_id: each.assignment for each in request.assignments},
        ),
        owner=context.owner,
        on_complete=lambda result: pending.complete(_synced(result)),
    )
    return pending


def _synced(result: SyncResult) -> SyncGroupResponse:
    return SyncGroupResponse(
        error_code=result.error,
        protocol_type=result.protocol_type,
        protocol_name=result.protocol,
        assignment=result.assignment,
    )


def handle_heartbeat(context: RequestContext, request: HeartbeatRequest) -> HeartbeatResponse:
    error = context.broker.groups.heartbeat(
        request.group_id, request.member_id, request.group_instance_id, request.generation_id
    )
    return HeartbeatResponse(error_code=error)


def handle_leave_group(context: RequestContext, request: LeaveGroupRequest) -> LeaveGroupResponse:
    if context.version < 3:
        result = context.broker.groups.leave(request.group_id, [LeavingMember(request.member_id)])
        error = result.error or next((member.error for member in result.members), ErrorCode.NONE)
        return LeaveGroupResponse(error_code=error)
    result = context.broker.groups.leave(
        request.group_id, [LeavingMember(member.member_id, member.group_instance_id) for member in request.members]
    )
    return LeaveGroupResponse(
        error_code=result.error,
        members=[
            MemberResponse(member_id=member.member_id, group_instance_id=member.instance_id, error_code=member.error)
            for member in result.members
        ],
    )
