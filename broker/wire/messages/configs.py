"""
Configuration of topics, brokers and other resources.

DescribeConfigs (key 32)
    v1  synonyms on request, sources instead of is_default (KIP-226)
    v3  type, and documentation on request (KIP-569)
    v4  flexible
AlterConfigs (key 33): replaces the whole configuration of a resource
    v2  flexible
IncrementalAlterConfigs (key 44): sets, deletes, appends to and subtracts from single keys (KIP-339)
    v1  flexible
ListConfigResources (key 74)
    v0  client metrics resources (KIP-714)
    v1  resources of any type (KIP-1142)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct


class DescribeConfigsResource(Struct):
    """In `DescribeConfigsRequest.resources`."""

    resource_type: Annotated[int, "int8 0+"] = 0
    resource_name: Annotated[str, "string 0+"] = ""
    configuration_keys: Annotated[Sequence[str] | None, "[]string 0+ null 0+"] = ()


class DescribeConfigsRequest(Request, api=ApiKey.DESCRIBE_CONFIGS):
    """DescribeConfigs request (key 32), v1-4, flexible from v4."""

    resources: Annotated[Sequence[DescribeConfigsResource], "[]struct 0+"] = ()
    include_synonyms: Annotated[bool, "bool 1+"] = False
    include_documentation: Annotated[bool, "bool 3+"] = False


class DescribeConfigsSynonym(Struct):
    """In `DescribeConfigsResponse.results.configs.synonyms`."""

    name: Annotated[str, "string 1+"] = ""
    value: Annotated[str | None, "string 1+ null 0+"] = ""
    source: Annotated[int, "int8 1+"] = 0


class DescribeConfigsResourceResult(Struct):
    """In `DescribeConfigsResponse.results.configs`."""

    name: Annotated[str, "string 0+"] = ""
    value: Annotated[str | None, "string 0+ null 0+"] = ""
    read_only: Annotated[bool, "bool 0+"] = False
    config_source: Annotated[int, "int8 1+"] = -1
    is_sensitive: Annotated[bool, "bool 0+"] = False
    synonyms: Annotated[Sequence[DescribeConfigsSynonym], "[]struct 1+"] = ()
    config_type: Annotated[int, "int8 3+"] = 0
    documentation: Annotated[str | None, "string 3+ null 0+"] = ""


class DescribeConfigsResult(Struct):
    """In `DescribeConfigsResponse.results`."""

    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""
    resource_type: Annotated[int, "int8 0+"] = 0
    resource_name: Annotated[str, "string 0+"] = ""
    configs: Annotated[Sequence[DescribeConfigsResourceResult], "[]struct 0+"] = ()


class DescribeConfigsResponse(Response, api=ApiKey.DESCRIBE_CONFIGS):
    """DescribeConfigs response (key 32), v1-4, flexible from v4."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    results: Annotated[Sequence[DescribeConfigsResult], "[]struct 0+"] = ()


class AlterConfigsEntry(Struct):
    """In `AlterConfigsRequest.resources.configs`."""

    name: Annotated[str, "string 0+"] = ""
    value: Annotated[str | None, "string 0+ null 0+"] = ""


class AlterConfigsResource(Struct):
    """In `AlterConfigsRequest.resources`."""

    resource_type: Annotated[int, "int8 0+"] = 0
    resource_name: Annotated[str, "string 0+"] = ""
    configs: Annotated[Sequence[AlterConfigsEntry], "[]struct 0+"] = ()


class AlterConfigsRequest(Request, api=ApiKey.ALTER_CONFIGS):
    """AlterConfigs request (key 33), v0-2, flexible from v2."""

    resources: Annotated[Sequence[AlterConfigsResource], "[]struct 0+"] = ()
    validate_only: Annotated[bool, "bool 0+"] = False


class AlterConfigsResourceResult(Struct):
    """In `AlterConfigsResponse.responses`."""

    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""
    resource_type: Annotated[int, "int8 0+"] = 0
    resource_name: Annotated[str, "string 0+"] = ""


class AlterConfigsResponse(Response, api=ApiKey.ALTER_CONFIGS):
    """AlterConfigs response (key 33), v0-2, flexible from v2."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    responses: Annotated[Sequence[AlterConfigsResourceResult], "[]struct 0+"] = ()


class IncrementalAlterConfigsEntry(Struct):
    """In `IncrementalAlterConfigsRequest.resources.configs`."""

    name: Annotated[str, "string 0+"] = ""
    config_operation: Annotated[int, "int8 0+"] = 0
    value: Annotated[str | None, "string 0+ null 0+"] = ""


class IncrementalAlterConfigsResource(Struct):
    """In `IncrementalAlterConfigsRequest.resources`."""

    resource_type: Annotated[int, "int8 0+"] = 0
    resource_name: Annotated[str, "string 0+"] = ""
    configs: Annotated[Sequence[IncrementalAlterConfigsEntry], "[]struct 0+"] = ()


class IncrementalAlterConfigsRequest(Request, api=ApiKey.INCREMENTAL_ALTER_CONFIGS):
    """IncrementalAlterConfigs request (key 44), v0-1, flexible from v1."""

    resources: Annotated[Sequence[IncrementalAlterConfigsResource], "[]struct 0+"] = ()
    validate_only: Annotated[bool, "bool 0+"] = False


class IncrementalAlterConfigsResourceResult(Struct):
    """In `IncrementalAlterConfigsResponse.responses`."""

    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""
    resource_type: Annotated[int, "int8 0+"] = 0
    resource_name: Annotated[str, "string 0+"] = ""


class IncrementalAlterConfigsResponse(Response, api=ApiKey.INCREMENTAL_ALTER_CONFIGS):
    """IncrementalAlterConfigs response (key 44), v0-1, flexible from v1."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    responses: Annotated[Sequence[IncrementalAlterConfigsResourceResult], "[]struct 0+"] = ()


class ListConfigResourcesRequest(Request, api=ApiKey.LIST_CONFIG_RESOURCES):
    """ListConfigResources request (key 74), v0-1, flexible from v0."""

    resource_types: Annotated[Sequence[int], "[]int8 1+"] = ()


class ConfigResource(Struct):
    """In `ListConfigResourcesResponse.config_resources`."""

    resource_name: Annotated[str, "string 0+"] = ""
    resource_type: Annotated[int, "int8 1+"] = 16


class ListConfigResourcesResponse(Response, api=ApiKey.LIST_CONFIG_RESOURCES):
    """ListConfigResources response (key 74), v0-1, flexible from v0."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    config_resources: Annotated[Sequence[ConfigResource], "[]struct 0+"] = ()
