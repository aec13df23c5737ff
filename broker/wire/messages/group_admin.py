"""
Describing, listing and deleting groups.

DescribeGroups (key 15): classic groups
    v1  throttle time
    v3  authorized operations on request (KIP-430)
    v4  group instance ids (KIP-345)
    v5  flexible
    v6  an error message; a group that is not there is GROUP_ID_NOT_FOUND (KIP-1043)
ListGroups (key 16)
    v1  throttle time
    v3  flexible
    v4  filter by state; states in the answer (KIP-518)
    v5  filter by type; types in the answer (KIP-848)
DeleteGroups (key 42)
    v2  flexible
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct


class DescribeGroupsRequest(Request, api=ApiKey.DESCRIBE_GROUPS):
    """DescribeGroups request (key 15), v0-6, flexible from v5."""

    groups: Annotated[Sequence[str], "[]string 0+"] = ()
    include_authorized_operations: Annotated[bool, "bool 3+"] = False


class DescribedGroupMember(Struct):
    """In `DescribeGroupsResponse.groups.members`."""

    member_id: Annotated[str, "string 0+"] = ""
    group_instance_id: Annotated[str | None, "string 4+ null 4+"] = None
    client_id: Annotated[str, "string 0+"] = ""
    client_host: Annotated[str, "string 0+"] = ""
    member_metadata: Annotated[bytes, "bytes 0+"] = b""
    member_assignment: Annotated[bytes, "bytes 0+"] = b""


class DescribedGroup(Struct):
    """In `DescribeGroupsResponse.groups`."""

    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 6+ null 6+"] = None
    group_id: Annotated[str, "string 0+"] = ""
    group_state: Annotated[str, "string 0+"] = ""
    protocol_type: Annotated[str, "string 0+"] = ""
    protocol_data: Annotated[str, "string 0+"] = ""
    members: Annotated[Sequence[DescribedGroupMember], "[]struct 0+"] = ()
    authorized_operations: Annotated[int, "int32 3+"] = -2147483648


class DescribeGroupsResponse(Response, api=ApiKey.DESCRIBE_GROUPS):
    """DescribeGroups response (key 15), v0-6, flexible from v5."""

    throttle_time_ms: Annotated[int, "int32 1+"] = 0
    groups: Annotated[Sequence[DescribedGroup], "[]struct 0+"] = ()


class ListGroupsRequest(Request, api=ApiKey.LIST_GROUPS):
    """ListGroups request (key 16), v0-5, flexible from v3."""

    states_filter: Annotated[Sequence[str], "[]string 4+"] = ()
    types_filter: Annotated[Sequence[str], "[]string 5+"] = ()


class ListedGroup(Struct):
    """In `ListGroupsResponse.groups`."""

    group_id: Annotated[str, "string 0+"] = ""
    protocol_type: Annotated[str, "string 0+"] = ""
    group_state: Annotated[str, "string 4+"] = ""
    group_type: Annotated[str, "string 5+"] = ""


class ListGroupsResponse(Response, api=ApiKey.LIST_GROUPS):
    """ListGroups response (key 16), v0-5, flexible from v3."""

    throttle_time_ms: Annotated[int, "int32 1+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    groups: Annotated[Sequence[ListedGroup], "[]struct 0+"] = ()


class DeleteGroupsRequest(Request, api=ApiKey.DELETE_GROUPS):
    """DeleteGroups request (key 42), v0-2, flexible from v2."""

    groups_names: Annotated[Sequence[str], "[]string 0+"] = ()


class DeletableGroupResult(Struct):
    """In `DeleteGroupsResponse.results`."""

    group_id: Annotated[str, "string 0+"] = ""
    error_code: Annotated[int, "int16 0+"] = 0


class DeleteGroupsResponse(Response, api=ApiKey.DELETE_GROUPS):
    """DeleteGroups response (key 42), v0-2, flexible from v2."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    results: Annotated[Sequence[DeletableGroupResult], "[]struct 0+"] = ()
