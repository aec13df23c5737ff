"""
DescribeGroups (key 15), v0-6: state, protocol and members of classic groups.

Behaviour
  - A group that is not there, or that is a consumer group: state Dead and no error, from v6 GROUP_ID_NOT_FOUND with
    words.
Version notes
  - v3 authorized operations (KIP-430); v4 instance ids (KIP-345); v6 error message (KIP-1043)

ListGroups (key 16), v0-5: all groups; v4 by state (KIP-518); v5 by type (KIP-848). An unknown state or type lists
nothing.

DeleteGroups (key 42), v0-2: empty groups with their offsets. NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND.
"""

from broker.errors import ErrorCode
from broker.handlers import authorized_operations
from broker.handlers.context import RequestContext
from broker.wire.messages.group_admin import (
    DeletableGroupResult,
    DeleteGroupsRequest,
    DeleteGroupsResponse,
    DescribedGroup,
    DescribedGroupMember,
    DescribeGroupsRequest,
    DescribeGroupsResponse,
    ListedGroup,
    ListGroupsRequest,
    ListGroupsResponse,
)


def handle_describe_groups(context: RequestContext, request: DescribeGroupsRequest) -> DescribeGroupsResponse:
    operations = (
        authorized_operations.GROUP if request.include_authorized_operations else authorized_operations.NOT_ASKED
    )
    return DescribeGroupsResponse(groups=[_describe(context, group_id, operations) for group_id in request.groups])


def _describe(context: RequestContext, group_id: str, operations: int) -> DescribedGroup:
    group = context.broker.groups.describe(group_id)
    if group is None:
        if context.version >= 6:
            return DescribedGroup(
                error_code=ErrorCode.GROUP_ID_NOT_FOUND,
                error_message=_why_not_there(context, group_id),
                group_id=group_id,
                group_state="Dead",
            )
        return DescribedGroup(group_id=group_id, group_state="Dead", authorized_operations=operations)
    return DescribedGroup(
        group_id=group_id,
        group_state=group.state.value,
        protocol_type=group.protocol_type,
        protocol_data=group.protocol,
        members=[
            DescribedGroupMember(
                member_id=member.member_id,
                group_instance_id=member.instance_id,
                client_id=member.client_id,
                # Kafka prints Java's InetAddress, which puts a slash before the address.
                client_host=f"/{member.client_host}",
                member_metadata=member.metadata,
                member_assignment=member.assignment,
            )
            for member in group.members
        ],
        authorized_operations=operations,
    )


def _why_not_there(context: RequestContext, group_id: str) -> str:
    consumers = context.broker.groups.describe_consumer(group_id) is not None
    return f"Group {group_id} is not a classic group." if consumers else f"Group {group_id} not found."


def handle_list_groups(context: RequestContext, request: ListGroupsRequest) -> ListGroupsResponse:
    states = {state.lower() for state in request.states_filter}
    types = {group_type.lower() for group_type in request.types_filter}
    return ListGroupsResponse(
        groups=[
            ListedGroup(
                group_id=group.group_id,
                protocol_type=group.protocol_type,
                group_state=group.state.value,
                group_type=group.group_type,
            )
            for group in context.broker.groups.list_groups()
            if (not states or group.state.value.lower() in states) and (not types or group.group_type.lower() in types)
        ]
    )


def handle_delete_groups(context: RequestContext, request: DeleteGroupsRequest) -> DeleteGroupsResponse:
    return DeleteGroupsResponse(
        results=[
            DeletableGroupResult(group_id=group_id, error_code=context.broker.groups.delete(group_id))
            for group_id in dict.fromkeys(request.groups_names)
        ]
    )
