"""
ApiVersions (key 18), v0-4: which APIs the broker serves, in which versions.

Behaviour
  - Answers with the table of handlers: what is not served is not named. Produce is named from v0 (see wire/apis).
  - An unknown version of the request is answered with a v0 body, UNSUPPORTED_VERSION and the versions of this API
    alone, so that the client can come down.
  - Features (v3): transaction.version is finalized at 2, so clients use transactions v2 (KIP-890); group.version at 1:
    the consumer protocol (KIP-848) is served.
Version notes
  - v3 (KIP-511) brings the client's name and version, which must be well-formed: INVALID_REQUEST otherwise.
  - v4 (KIP-1022) may name supported features that begin at level 0, which v3 leaves out; kafka-python 3 asks with it
    first.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from broker.errors import ErrorCode
from broker.handlers.context import RequestContext
from broker.handlers.table import TABLE
from broker.wire.apis import ApiKey, advertised
from broker.wire.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

_SOFTWARE_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


_LEVEL_ZERO_FROM_VERSION = 4
# Features are part of this broker's version and never change while it runs.
_FEATURES_EPOCH = 0


class Feature(NamedTuple):
    """What the broker does from which level to which, and the level at which it does it."""

    name: str
    lowest: int
    highest: int
    finalized: int


FEATURES = (Feature("group.version", 0, 1, 1), Feature("transaction.version", 0, 2, 2))


def handle_api_versions(context: RequestContext, request: ApiVersionsRequest) -> ApiVersionsResponse:
    return answer_for(TABLE, context.version, check_client(context, request))


def unsupported_api_versions() -> ApiVersionsResponse:
    """The answer to an ApiVersions request of an unknown version, to be sent as v0."""
    return answer_for(TABLE, 0, ErrorCode.UNSUPPORTED_VERSION)


def answer_for(served: Iterable[ApiKey], version: int, error: ErrorCode = ErrorCode.NONE) -> ApiVersionsResponse:
    """The answer for a table of handlers, in a version of this API."""
    if error is ErrorCode.UNSUPPORTED_VERSION:
        return ApiVersionsResponse(error_code=error, api_keys=_rows([ApiKey.API_VERSIONS]))
    if error is not ErrorCode.NONE:
        return ApiVersionsResponse(error_code=error)
    return ApiVersionsResponse(
        supported_features=[
            SupportedFeatureKey(name=each.name, min_version=each.lowest, max_version=each.highest)
            for each in FEATURES
            if each.lowest > 0 or version >= _LEVEL_ZERO_FROM_VERSION
        ],
        finalized_features_epoch=_FEATURES_EPOCH,
        finalized_features=[
            FinalizedFeatureKey(name=each.name, min_version_level=each.finalized, max_version_level=each.finalized)
            for each in FEATURES
        ],
        api_keys=_rows(served),
    )


def _rows(served: Iterable[ApiKey]) -> list[ApiVersion]:
    return [
        ApiVersion(api_key=row.api_key, min_version=row.min_version, max_version=row.max_version)
        for row in advertised(served)
    ]


def check_client(context: RequestContext, request: ApiVersionsRequest) -> ErrorCode:
    """INVALID_REQUEST for a client that does not introduce itself as v3 wants it."""
    if context.version < 3:
        return ErrorCode.NONE
    if _SOFTWARE_NAME.fullmatch(request.client_software_name) and _SOFTWARE_NAME.fullmatch(
        request.client_software_version
    ):
        return ErrorCode.NONE
    return ErrorCode.INVALID_REQUEST
