"""
Messages to bytes and back.

Compiled at the first message of each class, direction and version (about a millisecond), then kept.
"""

from __future__ import annotations

import struct
from typing import TypeVar, cast

from broker.errors import MalformedMessage, UnencodableMessage
from broker.wire.declaration import Message
from broker.wire.decoder import Decoder, compile_decoder
from broker.wire.encoder import Encoder, compile_encoder
from broker.wire.primitives import Buffer, Piece

M = TypeVar("M", bound=Message)

_decoders: dict[tuple[type[Message], int], Decoder] = {}
_encoders: dict[tuple[type[Message], int], Encoder] = {}


def decoder_of(message: type[Message], version: int) -> Decoder:
    """The decoder of one version; raises UnsupportedVersion."""
    decoder = _decoders.get((message, version))
    if decoder is None:
        message.api.check(version)
        decoder = _decoders[message, version] = compile_decoder(message, version)
    return decoder


def encoder_of(message: type[Message], version: int) -> Encoder:
    """The encoder of one version; raises UnsupportedVersion."""
    encoder = _encoders.get((message, version))
    if encoder is None:
        message.api.check(version)
        encoder = _encoders[message, version] = compile_encoder(message, version)
    return encoder


def decode(message: type[M], version: int, buffer: Buffer, position: int = 0, *, may_trail: bool = False) -> M:
    """
    The message that begins at *position* and fills *buffer*, unless more *may_trail* behind it.

    Records are memoryviews of *buffer*, everything else is copied out. Raises MalformedMessage.
    """
    view = buffer if isinstance(buffer, memoryview) else memoryview(buffer)
    decoded, end = decoder_of(message, version)(view, position)
    if end != len(view) and not may_trail:
        raise MalformedMessage(f"{message.__name__} v{version}", end, f"{len(view) - end} bytes too many")
    return cast("M", decoded)


def encode_behind(prefix: bytearray, message: Message, version: int) -> list[Piece]:
    """
    *prefix* with *message* behind it, as pieces in their order on the wire.

    Pieces are bytes-like, or the records objects with a *size* that the message holds. Raises UnencodableMessage for
    values that do not fit the version (None where it has no null, a number out of range).
    """
    pieces: list[Piece] = []
    try:
        out = encoder_of(type(message), version)(message, prefix, pieces)
    except (struct.error, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise UnencodableMessage(f"{type(message).__name__} v{version}", str(error)) from error
    if out or not pieces:
        pieces.append(out)
    return pieces


def encode(message: Message, version: int) -> bytes:
    """The bytes of a message whose records, if it has any, are in memory."""
    pieces = encode_behind(bytearray(), message, version)
    return b"".join(cast("list[bytes]", pieces))
