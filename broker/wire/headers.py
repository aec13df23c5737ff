"""
Request and response headers.

Request     int16 key, int16 version, int32 correlation id, string client id (nullable, never compact);
            header v2, which flexible versions have, adds tagged fields
Response    int32 correlation id; header v1, which flexible versions have, adds tagged fields
Exceptions  an ApiVersions answer has header v0 in every version: its reader does not know yet what we speak.
            Header v0 of a request, without a client id, was ControlledShutdown v0's alone and is not read.
Source      Kafka's RequestHeader.json and ResponseHeader.json; KIP-482, KIP-511
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from broker.wire.apis import Api, api_of
from broker.wire.primitives import (
    Buffer,
    read_text,
    read_uvarint,
    skip_tagged_fields,
    too_short,
    unexpected_null,
)

# With the length of the client id, which every header that is read here has.
_REQUEST = struct.Struct(">hhih")
_RESPONSE = struct.Struct(">i")


class RequestHeader(NamedTuple):
    """A request's header; *body* is the position of the message behind it."""

    api: Api
    version: int
    correlation_id: int
    client_id: str | None
    body: int


def decode_request_header(frame: Buffer, position: int = 0) -> RequestHeader:
    """
    The header at *position* of a frame, which is given without its size prefix.

    The version is not held against the declared range: an ApiVersions request of an unknown version has an answer.
    Raises UnknownApiKey and MalformedMessage.
    """
    body = position + _REQUEST.size
    if body > len(frame):
        raise too_short("request header", position, _REQUEST.size, len(frame))
    key, version, correlation_id, length = _REQUEST.unpack_from(frame, position)
    api = api_of(key)
    client_id = None
    if length >= 0:
        client_id, body = read_text(frame, body, length)
    elif length < -1:
        raise unexpected_null("client id", body, length)
    if api.flexible_from is not None and version >= api.flexible_from:
        # Hardly anybody sends tagged fields here.
        if body < len(frame) and not frame[body]:
            body += 1
        else:
            count, body = read_uvarint(frame, body)
            body = skip_tagged_fields(frame, body, count)
    return RequestHeader(api, version, correlation_id, client_id, body)


def encode_request_header(api: Api, version: int, correlation_id: int, client_id: str | None) -> bytearray:
    """The header of a request, without tagged fields."""
    encoded = b"" if client_id is None else client_id.encode()
    out = bytearray(_REQUEST.pack(api.key, version, correlation_id, -1 if client_id is None else len(encoded)))
    out += encoded
    if api.is_flexible(version):
        out.append(0)
    return out


def encode_response_header(api: Api, version: int, correlation_id: int) -> bytearray:
    """The header of a response, without tagged fields."""
    out = bytearray(_RESPONSE.pack(correlation_id))
    if api.response_header_version(version):
        out.append(0)
    return out


def decode_response_header(api: Api, version: int, frame: Buffer, position: int = 0) -> tuple[int, int]:
    """The correlation id, and the position of the message behind the header."""
    if len(frame) < position + _RESPONSE.size:
        raise too_short("response header", position, _RESPONSE.size, len(frame))
    (correlation_id,) = _RESPONSE.unpack_from(frame, position)
    body = position + _RESPONSE.size
    if api.response_header_version(version):
        count, body = read_uvarint(frame, body)
        body = skip_tagged_fields(frame, body, count)
    return correlation_id, body
