"""
Frames: an int32 size, then a header and a message of that many bytes.

The size is read and checked here; reading the bytes themselves is the connection's. What is written comes as pieces in
their order on the wire, because records may still be in a file: bytes-like pieces are sent as they are, any other has a
`size` and is the very object that the message held.
"""

from __future__ import annotations

import struct
from typing import TypeVar, cast

from broker.errors import InvalidFrameSize
from broker.wire.codec import decode, encode_behind
from broker.wire.declaration import Message, Request, Response
from broker.wire.headers import (
    RequestHeader,
    decode_response_header,
    encode_request_header,
    encode_response_header,
)
from broker.wire.messages import request_class
from broker.wire.primitives import Buffer, Piece

M = TypeVar("M", bound=Message)

SIZE_BYTES = 4
_SIZE = struct.Struct(">i")


def frame_size(prefix: Buffer, size_max: int, position: int = 0) -> int:
    """The bytes that follow a 4-byte size prefix; raises InvalidFrameSize below 0 and above *size_max*."""
    size: int = _SIZE.unpack_from(prefix, position)[0]
    if not 0 <= size <= size_max:
        raise InvalidFrameSize(size, size_max)
    return size


def decode_request(header: RequestHeader, frame: Buffer) -> Request:
    """
    The message behind a header, of the class that is declared for its key.

    Bytes behind the message are ignored, as Kafka does. Raises UnsupportedVersion and MalformedMessage.
    """
    return decode(request_class(header.api.key), header.version, frame, header.body, may_trail=True)


def encode_response(response: Response, version: int, correlation_id: int) -> list[Piece]:
    """
    The whole frame of a response, size prefix included, in pieces; the first is always bytes-like.

    Records that are no bytes keep their place as the object itself, and the size prefix counts their *size*.
    """
    return _framed(encode_response_header(response.api, version, correlation_id), response, version)


def encode_request(request: Request, version: int, correlation_id: int, client_id: str | None = None) -> bytes:
    """The whole frame of a request, size prefix included."""
    pieces = _framed(encode_request_header(request.api, version, correlation_id, client_id), request, version)
    return b"".join(cast("list[bytes]", pieces))


def decode_response(response: type[M], version: int, frame: Buffer) -> tuple[int, M]:
    """Correlation id and message of a response's frame, which is given without its size prefix."""
    correlation_id, body = decode_response_header(response.api, version, frame)
    return correlation_id, decode(response, version, frame, body)


def with_correlation_id(frame: bytes, correlation_id: int) -> bytes:
    """A copy of an encoded response for another request: what is answered to everyone is encoded once."""
    return frame[:SIZE_BYTES] + _SIZE.pack(correlation_id) + frame[2 * SIZE_BYTES :]


def _framed(header: bytearray, message: Message, version: int) -> list[Piece]:
    first = bytearray(SIZE_BYTES)
    first += header
    pieces = encode_behind(first, message, version)
    size = len(first) - SIZE_BYTES
    if len(pieces) > 1:
        for piece in pieces[1:]:
            size += len(piece) if isinstance(piece, (bytes, bytearray, memoryview)) else piece.size
    _SIZE.pack_into(first, 0, size)
    return pieces
