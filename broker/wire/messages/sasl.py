"""Logging in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response


class SaslHandshakeRequest(Request, api=ApiKey.SASL_HANDSHAKE):
    """SaslHandshake request (key 17), v0-1, never flexible."""

    mechanism: Annotated[str, "string 0+"] = ""


class SaslHandshakeResponse(Response, api=ApiKey.SASL_HANDSHAKE):
    """SaslHandshake response (key 17), v0-1, never flexible."""

    error_code: Annotated[int, "int16 0+"] = 0
    mechanisms: Annotated[Sequence[str], "[]string 0+"] = ()


class SaslAuthenticateRequest(Request, api=ApiKey.SASL_AUTHENTICATE):
    """SaslAuthenticate request (key 36), v0-2, flexible from v2."""

    auth_bytes: Annotated[bytes, "bytes 0+"] = b""


class SaslAuthenticateResponse(Response, api=ApiKey.SASL_AUTHENTICATE):
    """SaslAuthenticate response (key 36), v0-2, flexible from v2."""

    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""
    auth_bytes: Annotated[bytes, "bytes 0+"] = b""
    session_lifetime_ms: Annotated[int, "int64 1+"] = 0
