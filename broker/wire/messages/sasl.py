"""
Logging in: the mechanism first, then as many exchanges as it needs.

SaslHandshake (key 17)
    v1  the exchanges are SaslAuthenticate requests (KIP-152); after v0 they are bare frames
SaslAuthenticate (key 36)
    v1  a lifetime, after which the client logs in again (KIP-368)
    v2  flexible
"""

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
