"""
Which broker coordinates a group or a transactional id.

FindCoordinator (key 10)
    v0  a group's
    v1  key type 1 is a transactional id's (KIP-98); throttle time and error message
    v3  flexible
    v4  many keys in one request (KIP-699): `coordinator_keys` and `coordinators` take the place of the single fields
    v5  the client may be told TRANSACTION_ABORTABLE (KIP-890)
    v6  key type 2 is a share group's partition (KIP-932)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct


class FindCoordinatorRequest(Request, api=ApiKey.FIND_COORDINATOR):
    """FindCoordinator request (key 10), v0-6, flexible from v3."""

    key: Annotated[str, "string 0-3"] = ""
    key_type: Annotated[int, "int8 1+"] = 0
    coordinator_keys: Annotated[Sequence[str], "[]string 4+"] = ()


class Coordinator(Struct):
    """In `FindCoordinatorResponse.coordinators`."""

    key: Annotated[str, "string 4+"] = ""
    node_id: Annotated[int, "int32 4+"] = 0
    host: Annotated[str, "string 4+"] = ""
    port: Annotated[int, "int32 4+"] = 0
    error_code: Annotated[int, "int16 4+"] = 0
    error_message: Annotated[str | None, "string 4+ null 4+"] = ""


class FindCoordinatorResponse(Response, api=ApiKey.FIND_COORDINATOR):
    """FindCoordinator response (key 10), v0-6, flexible from v3."""

    throttle_time_ms: Annotated[int, "int32 1+"] = 0
    error_code: Annotated[int, "int16 0-3"] = 0
    error_message: Annotated[str | None, "string 1-3 null 1-3"] = ""
    node_id: Annotated[int, "int32 0-3"] = 0
    host: Annotated[str, "string 0-3"] = ""
    port: Annotated[int, "int32 0-3"] = 0
    coordinators: Annotated[Sequence[Coordinator], "[]struct 4+"] = ()
