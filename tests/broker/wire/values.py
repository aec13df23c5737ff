"""
Random messages of any declared class and version, and a walk beside what another codec made of them.

Values are drawn from one `random.Random`, so a seed is enough to see a failure again. Sizes stay small, with a few
strings and arrays long enough for lengths of two bytes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from broker.errors import ErrorCode
from broker.wire.apis import ApiKey
from broker.wire.declaration import Field, Message, Struct, fields_of
from broker.wire.messages import request_class, response_class
from broker.wire.primitives import Piece

S = TypeVar("S", bound=Struct)

_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_LETTERS = "abcdefghijklmnopqrstuvwxyz-._0123456789äßλЖ日🚀"


EVERY_VERSION: list[tuple[type[Message], int]] = [
    (message, version)
    for key in ApiKey
    for message in (request_class(key), response_class(key))
    for version in range(message.api.lowest, message.api.highest + 1)
]


def random_struct(struct: type[S], version: int, source: random.Random) -> S:
    """A struct whose fields, as far as *version* carries them, have random values."""
    values = {field.name: _field(field, version, source) for field in fields_of(struct) if version in field.versions}
    return struct(**values)


@dataclass(frozen=True)
class FileSlice:
    """Records in a file, as a storage hands them on."""

    size: int


def joined(pieces: list[Piece]) -> bytes:
    """Pieces as the socket would send them, with zeros for what is in files."""
    parts = [piece if isinstance(piece, (bytes, bytearray, memoryview)) else bytes(piece.size) for piece in pieces]
    return b"".join(parts)


def _field(field: Field, version: int, source: random.Random) -> object:
    if field.tag is not None and source.random() < 0.4:
        return field.default
    if version in field.nullable and source.random() < 0.25:
        return None
    if field.tag is not None and field.struct is not None and not field.is_array:
        # Kafka does not send a tagged struct that has nothing but defaults; for us that is None.
        value = random_struct(field.struct, version, source)
        return None if value == field.struct() else value
    if field.is_array:
        count = source.choice((0, 1, 2, 3) if field.struct else (0, 1, 2, 3, 150))
        return [_value(field, version, source) for _ in range(count)]
    return _value(field, version, source)


def _value(field: Field, version: int, source: random.Random) -> object:
    if field.struct is not None:
        return random_struct(field.struct, version, source)
    if field.name.endswith("error_code"):
        return int(source.choice([code for code in ErrorCode if 0 <= code < 100]))
    if field.name.endswith(("_ms", "timestamp")):
        return source.randrange(2**31)
    match field.kind:
        case "bool":
            return source.random() < 0.5
        case "float64":
            return source.uniform(-1e9, 1e9)
        case "uint16" | "uint32":
            return source.randrange(1 << int(field.kind[4:]))
        case "string":
            return "".join(source.choices(_LETTERS, k=source.choice((0, 1, 3, 12, 12, 200))))
        case "bytes":
            return source.randbytes(source.choice((0, 1, 16, 300)))
        case "records":
            return memoryview(source.randbytes(source.choice((0, 1, 61, 5000))))
        case "uuid":
            return UUID(int=source.getrandbits(128))
        case _:
            bound = 1 << _BITS[field.kind] - 1
            return source.choice((0, 1, -1, bound - 1, -bound, source.randrange(-bound, bound)))


def assert_carries(
    ours: Struct, theirs: object, version: int, value_of: Callable[[object, Field], object], where: str = ""
) -> None:
    """
    Holds every field of *ours* that *version* carries against another codec's object.

    *value_of* gives their value of a field in our terms; structs and arrays of structs as they are there.
    """
    for field in fields_of(type(ours)):
        if version not in field.versions:
            continue
        path = f"{where}.{field.name}"
        our_value, their_value = getattr(ours, field.name), value_of(theirs, field)
        if field.struct is None or our_value is None:
            assert our_value == their_value, path
            continue
        our_items = our_value if field.is_array else [our_value]
        their_items = their_value if field.is_array else [their_value]
        assert isinstance(their_items, list), path
        for at, (our_item, their_item) in enumerate(zip(our_items, their_items, strict=True)):
            assert_carries(our_item, their_item, version, value_of, f"{path}[{at}]")
