"""
Which APIs and versions a broker serves: the first thing that a client asks.

ApiVersions (key 18)
    v1  throttle time
    v2  throttling is applied by the client after the answer (KIP-219)
    v3  flexible; the client names its software (KIP-511); supported and finalized features in tagged fields (KIP-584)
    v4  a supported feature may begin at version 0 (KAFKA-17011)
A request of a version that is not declared is answered with a v0 body and error 35 (UNSUPPORTED_VERSION); the header of
the answer has no tagged fields in any version.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct


class ApiVersionsRequest(Request, api=ApiKey.API_VERSIONS):
    """ApiVersions request (key 18), v0-4, flexible from v3."""

    client_software_name: Annotated[str, "string 3+"] = ""
    client_software_version: Annotated[str, "string 3+"] = ""


class ApiVersion(Struct):
    """In `ApiVersionsResponse.api_keys`."""

    api_key: Annotated[int, "int16 0+"] = 0
    min_version: Annotated[int, "int16 0+"] = 0
    max_version: Annotated[int, "int16 0+"] = 0


class SupportedFeatureKey(Struct):
    """In `ApiVersionsResponse.supported_features`."""

    name: Annotated[str, "string 3+"] = ""
    min_version: Annotated[int, "int16 3+"] = 0
    max_version: Annotated[int, "int16 3+"] = 0


class FinalizedFeatureKey(Struct):
    """In `ApiVersionsResponse.finalized_features`."""

    name: Annotated[str, "string 3+"] = ""
    max_version_level: Annotated[int, "int16 3+"] = 0
    min_version_level: Annotated[int, "int16 3+"] = 0


class ApiVersionsResponse(Response, api=ApiKey.API_VERSIONS):
    """ApiVersions response (key 18), v0-4, flexible from v3."""

    error_code: Annotated[int, "int16 0+"] = 0
    api_keys: Annotated[Sequence[ApiVersion], "[]struct 0+"] = ()
    throttle_time_ms: Annotated[int, "int32 1+"] = 0
    supported_features: Annotated[Sequence[SupportedFeatureKey], "[]struct 3+ tag 0"] = ()
    finalized_features_epoch: Annotated[int, "int64 3+ tag 1"] = -1
    finalized_features: Annotated[Sequence[FinalizedFeatureKey], "[]struct 3+ tag 2"] = ()
    zk_migration_ready: Annotated[bool, "bool 3+ tag 3"] = False
