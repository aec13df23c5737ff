"""
Checksums of what was moved.

Records   BLAKE2b (16 bytes) of a partition's records in order: time, key, value, headers, each with its length.
          A topic's is that of its partitions', one after the other
Rows      the sum of the rows' BLAKE2b (16 bytes), modulo 2^128: the two databases have different orders for text
"""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import blake2b
from struct import Struct
from typing import Final
from uuid import UUID

_BYTES: Final = 16
_MODULUS: Final = 1 << (8 * _BYTES)
_RECORD: Final = Struct(">qiii")
_HEADER: Final = Struct(">ii")

Headers = Collection[tuple[str, bytes | None]]


class RecordChecksum:
    """One partition."""

    __slots__ = ("_digest", "records", "size")

    def __init__(self) -> None:
        self._digest = blake2b(digest_size=_BYTES)
        self.records = 0
        self.size = 0

    def add(self, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """The next record."""
        key_length = -1 if key is None else len(key)
        value_length = -1 if value is None else len(value)
        parts = [_RECORD.pack(timestamp_ms, key_length, value_length, len(headers)), key or b"", value or b""]
        for name, content in headers:
            encoded = name.encode()
            parts += [_HEADER.pack(len(encoded), -1 if content is None else len(content)), encoded, content or b""]
        whole = b"".join(parts)
        self._digest.update(whole)
        self.records += 1
        self.size += len(whole)

    def value(self) -> bytes:
        """Of what has been added so far."""
        return self._digest.digest()


def topic_checksum(partitions: Iterable[bytes]) -> str:
    """Of a topic, from its partitions' in order; 32 hexadecimal digits."""
    return blake2b(b"".join(partitions), digest_size=_BYTES).hexdigest()


class RowChecksum:
    """One table; rows in any order."""

    __slots__ = ("_sum", "rows")

    def __init__(self) -> None:
        self._sum = 0
        self.rows = 0

    def add(self, row: Mapping[str, object]) -> None:
        """A row, its columns by name, in one order for all rows."""
        text = json.dumps([_canonical(value) for value in row.values()], sort_keys=True, separators=(",", ":"))
        self._sum += int.from_bytes(blake2b(text.encode(), digest_size=_BYTES).digest())
        self.rows += 1

    def text(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._sum % _MODULUS:032x}"


def _canonical(value: object) -> object:
    """The same for the same value, whichever driver it comes from; of two types never the same."""
    match value:
        case bytes():
            return {"b": value.hex()}
        case datetime():
            return {"t": value.astimezone(UTC).isoformat(timespec="microseconds")}
        case Decimal():
            return {"n": str(value.normalize() + 0)}
        case date() | UUID():
            return {"s": str(value)}
        case _:
            return value
