"""
Quotas of users, clients and addresses (KIP-546).

DescribeClientQuotas (key 48), AlterClientQuotas (key 49)
    v1  flexible
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct


class DescribeClientQuotasComponentData(Struct):
    """In `DescribeClientQuotasRequest.components`."""

    entity_type: Annotated[str, "string 0+"] = ""
    match_type: Annotated[int, "int8 0+"] = 0
    match: Annotated[str | None, "string 0+ null 0+"] = ""


class DescribeClientQuotasRequest(Request, api=ApiKey.DESCRIBE_CLIENT_QUOTAS):
    """DescribeClientQuotas request (key 48), v0-1, flexible from v1."""

    components: Annotated[Sequence[DescribeClientQuotasComponentData], "[]struct 0+"] = ()
    strict: Annotated[bool, "bool 0+"] = False


class DescribeClientQuotasEntityData(Struct):
    """In `DescribeClientQuotasResponse.entries.entity`."""

    entity_type: Annotated[str, "string 0+"] = ""
    entity_name: Annotated[str | None, "string 0+ null 0+"] = ""


class DescribeClientQuotasValueData(Struct):
    """In `DescribeClientQuotasResponse.entries.values`."""

    key: Annotated[str, "string 0+"] = ""
    value: Annotated[float, "float64 0+"] = 0.0


class DescribeClientQuotasEntryData(Struct):
    """In `DescribeClientQuotasResponse.entries`."""

    entity: Annotated[Sequence[DescribeClientQuotasEntityData], "[]struct 0+"] = ()
    values: Annotated[Sequence[DescribeClientQuotasValueData], "[]struct 0+"] = ()


class DescribeClientQuotasResponse(Response, api=ApiKey.DESCRIBE_CLIENT_QUOTAS):
    """DescribeClientQuotas response (key 48), v0-1, flexible from v1."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""
    entries: Annotated[Sequence[DescribeClientQuotasEntryData] | None, "[]struct 0+ null 0+"] = ()


class AlterClientQuotasRequestEntityData(Struct):
    """In `AlterClientQuotasRequest.entries.entity`."""

    entity_type: Annotated[str, "string 0+"] = ""
    entity_name: Annotated[str | None, "string 0+ null 0+"] = ""


class AlterClientQuotasOpData(Struct):
    """In `AlterClientQuotasRequest.entries.ops`."""

    key: Annotated[str, "string 0+"] = ""
    value: Annotated[float, "float64 0+"] = 0.0
    remove: Annotated[bool, "bool 0+"] = False


class AlterClientQuotasRequestEntryData(Struct):
    """In `AlterClientQuotasRequest.entries`."""

    entity: Annotated[Sequence[AlterClientQuotasRequestEntityData], "[]struct 0+"] = ()
    ops: Annotated[Sequence[AlterClientQuotasOpData], "[]struct 0+"] = ()


class AlterClientQuotasRequest(Request, api=ApiKey.ALTER_CLIENT_QUOTAS):
    """AlterClientQuotas request (key 49), v0-1, flexible from v1."""

    entries: Annotated[Sequence[AlterClientQuotasRequestEntryData], "[]struct 0+"] = ()
    validate_only: Annotated[bool, "bool 0+"] = False


class AlterClientQuotasResponseEntityData(Struct):
    """In `AlterClientQuotasResponse.entries.entity`."""

    entity_type: Annotated[str, "string 0+"] = ""
    entity_name: Annotated[str | None, "string 0+ null 0+"] = ""


class AlterClientQuotasResponseEntryData(Struct):
    """In `AlterClientQuotasResponse.entries`."""

    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""
    entity: Annotated[Sequence[AlterClientQuotasResponseEntityData], "[]struct 0+"] = ()


class AlterClientQuotasResponse(Response, api=ApiKey.ALTER_CLIENT_QUOTAS):
    """AlterClientQuotas response (key 49), v0-1, flexible from v1."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    entries: Annotated[Sequence[AlterClientQuotasResponseEntryData], "[]struct 0+"] = ()
