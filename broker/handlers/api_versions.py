"""
ApiVersions (key 18), v0-4: which APIs the broker serves, in which versions.

Behaviour
  - Answers with the table of handlers: what is not served is not named. Produce is named from v0 (see wire/apis).
  - An unknown version of the request is answered with a v0 body and UNSUPPORTED_VERSION, so that the client can come
    down.
  - No supported or finalized features: transactions v2 and the new group protocol are not served.
Version notes
  - v3 (KIP-511) brings the client's name and version, which must be well-formed: INVALID_REQUEST otherwise.
  - v4 (KIP-1022) may name features from level 0; kafka-python 3 asks with it first.
"""

import re
from collections.abc import Iterable

from broker.errors import ErrorCode
from broker.handlers.context import RequestContext
from broker.wire.apis import ApiKey, advertised
from broker.wire.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse

_SOFTWARE_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")


def answer_for(served: Iterable[ApiKey], error: ErrorCode = ErrorCode.NONE) -> ApiVersionsResponse:
    """The answer for a table of handlers."""
    return ApiVersionsResponse(
        error_code=error,
        api_keys=[
            ApiVersion(api_key=row.api_key, min_version=row.min_version, max_version=row.max_version)
            for row in advertised(served)
        ],
    )


def check_client(context: RequestContext, request: ApiVersionsRequest) -> ErrorCode:
    """INVALID_REQUEST for a client that does not introduce itself as v3 wants it."""
    if context.version < 3:
        return ErrorCode.NONE
    if _SOFTWARE_NAME.fullmatch(request.client_software_name) and _SOFTWARE_NAME.fullmatch(
        request.client_software_version
    ):
        return ErrorCode.NONE
    return ErrorCode.INVALID_REQUEST
