"""
Access control lists.

DescribeAcls (key 29), CreateAcls (key 30), DeleteAcls (key 31)
    v1  pattern types: literal and prefixed names (KIP-290); v0 is gone (KIP-896)
    v2  flexible
    v3  resource type user (KIP-373)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct


class DescribeAclsRequest(Request, api=ApiKey.DESCRIBE_ACLS):
    """DescribeAcls request (key 29), v1-3, flexible from v2."""

    resource_type_filter: Annotated[int, "int8 0+"] = 0
    resource_name_filter: Annotated[str | None, "string 0+ null 0+"] = ""
    pattern_type_filter: Annotated[int, "int8 1+"] = 3
    principal_filter: Annotated[str | None, "string 0+ null 0+"] = ""
    host_filter: Annotated[str | None, "string 0+ null 0+"] = ""
    operation: Annotated[int, "int8 0+"] = 0
    permission_type: Annotated[int, "int8 0+"] = 0


class AclDescription(Struct):
    """In `DescribeAclsResponse.resources.acls`."""

    principal: Annotated[str, "string 0+"] = ""
    host: Annotated[str, "string 0+"] = ""
    operation: Annotated[int, "int8 0+"] = 0
    permission_type: Annotated[int, "int8 0+"] = 0


class DescribeAclsResource(Struct):
    """In `DescribeAclsResponse.resources`."""

    resource_type: Annotated[int, "int8 0+"] = 0
    resource_name: Annotated[str, "string 0+"] = ""
    pattern_type: Annotated[int, "int8 1+"] = 3
    acls: Annotated[Sequence[AclDescription], "[]struct 0+"] = ()


class DescribeAclsResponse(Response, api=ApiKey.DESCRIBE_ACLS):
    """DescribeAcls response (key 29), v1-3, flexible from v2."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""
    resources: Annotated[Sequence[DescribeAclsResource], "[]struct 0+"] = ()


class AclCreation(Struct):
    """In `CreateAclsRequest.creations`."""

    resource_type: Annotated[int, "int8 0+"] = 0
    resource_name: Annotated[str, "string 0+"] = ""
    resource_pattern_type: Annotated[int, "int8 1+"] = 3
    principal: Annotated[str, "string 0+"] = ""
    host: Annotated[str, "string 0+"] = ""
    operation: Annotated[int, "int8 0+"] = 0
    permission_type: Annotated[int, "int8 0+"] = 0


class CreateAclsRequest(Request, api=ApiKey.CREATE_ACLS):
    """CreateAcls request (key 30), v1-3, flexible from v2."""

    creations: Annotated[Sequence[AclCreation], "[]struct 0+"] = ()


class AclCreationResult(Struct):
    """In `CreateAclsResponse.results`."""

    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""


class CreateAclsResponse(Response, api=ApiKey.CREATE_ACLS):
    """CreateAcls response (key 30), v1-3, flexible from v2."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    results: Annotated[Sequence[AclCreationResult], "[]struct 0+"] = ()


class DeleteAclsFilter(Struct):
    """In `DeleteAclsRequest.filters`."""

    resource_type_filter: Annotated[int, "int8 0+"] = 0
    resource_name_filter: Annotated[str | None, "string 0+ null 0+"] = ""
    pattern_type_filter: Annotated[int, "int8 1+"] = 3
    principal_filter: Annotated[str | None, "string 0+ null 0+"] = ""
    host_filter: Annotated[str | None, "string 0+ null 0+"] = ""
    operation: Annotated[int, "int8 0+"] = 0
    permission_type: Annotated[int, "int8 0+"] = 0


class DeleteAclsRequest(Request, api=ApiKey.DELETE_ACLS):
    """DeleteAcls request (key 31), v1-3, flexible from v2."""

    filters: Annotated[Sequence[DeleteAclsFilter], "[]struct 0+"] = ()


class DeleteAclsMatchingAcl(Struct):
    """In `DeleteAclsResponse.filter_results.matching_acls`."""

    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""
    resource_type: Annotated[int, "int8 0+"] = 0
    resource_name: Annotated[str, "string 0+"] = ""
    pattern_type: Annotated[int, "int8 1+"] = 3
    principal: Annotated[str, "string 0+"] = ""
    host: Annotated[str, "string 0+"] = ""
    operation: Annotated[int, "int8 0+"] = 0
    permission_type: Annotated[int, "int8 0+"] = 0


class DeleteAclsFilterResult(Struct):
    """In `DeleteAclsResponse.filter_results`."""

    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""
    matching_acls: Annotated[Sequence[DeleteAclsMatchingAcl], "[]struct 0+"] = ()


class DeleteAclsResponse(Response, api=ApiKey.DELETE_ACLS):
    """DeleteAcls response (key 31), v1-3, flexible from v2."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    filter_results: Annotated[Sequence[DeleteAclsFilterResult], "[]struct 0+"] = ()
