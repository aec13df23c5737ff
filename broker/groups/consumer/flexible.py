"""
Kafka's flexible encoding, as much of it as records of consumer groups need.

Layout      big-endian integers; a length is an unsigned varint of n + 1 (0: null), before the bytes of a string, plain
            bytes, or the elements of an array; tagged fields are a count, then tag, size and bytes for each
"""

from collections.abc import Iterable, Mapping
from struct import Struct

_I8, _I16, _I32, _I64 = Struct(">b"), Struct(">h"), Struct(">i"), Struct(">q")


class FlexibleWriter:
    """Builds one value from its front; every step returns the writer."""

    __slots__ = ("data",)

    def __init__(self, head: bytes = b"") -> None:
        self.data = head

    def i8(self, value: int) -> "FlexibleWriter":
        return self.raw(_I8.pack(value))

    def i32(self, value: int) -> "FlexibleWriter":
        return self.raw(_I32.pack(value))

    def i64(self, value: int) -> "FlexibleWriter":
        return self.raw(_I64.pack(value))

    def raw(self, value: bytes) -> "FlexibleWriter":
        self.data += value
        return self

    def length(self, count: int) -> "FlexibleWriter":
        return self.raw(_unsigned(count + 1))

    def string(self, value: str | None) -> "FlexibleWriter":
        return self.raw(_unsigned(0)) if value is None else self.sized_bytes(value.encode())

    def strings(self, values: Iterable[str]) -> "FlexibleWriter":
        texts = list(values)
        self.length(len(texts))
        for text in texts:
            self.string(text)
        return self

    def sized_bytes(self, value: bytes) -> "FlexibleWriter":
        return self.length(len(value)).raw(value)

    def tags(self, fields: Mapping[int, bytes]) -> "FlexibleWriter":
        self.raw(_unsigned(len(fields)))
        for tag, value in fields.items():
            self.raw(_unsigned(tag)).raw(_unsigned(len(value))).raw(value)
        return self


class FlexibleReader:
    """Reads one value from its front. Raises ValueError and struct.error for what is too short."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def version(self) -> None:
        """Raises ValueError unless the value is of version 0, the only one there is."""
        (version,) = _I16.unpack(self.raw(_I16.size))
        if version != 0:
            raise ValueError(f"value v{version}: this version of the broker reads v0")

    def i8(self) -> int:
        return self._integer(_I8)

    def i32(self) -> int:
        return self._integer(_I32)

    def i64(self) -> int:
        return self._integer(_I64)

    def raw(self, size: int) -> bytes:
        end = self._position + size
        if size < 0 or end > len(self._data):
            raise ValueError(f"{size} bytes announced at byte {self._position}, the end is {len(self._data)}")
        taken = self._data[self._position : end]
        self._position = end
        return taken

    def length(self) -> int:
        """How many elements follow; a null array has none."""
        count = max(0, self._unsigned() - 1)
        if count > len(self._data) - self._position:
            raise ValueError(f"{count} elements announced at byte {self._position}, the end is {len(self._data)}")
        return count

    def string(self) -> str:
        value = self.optional_string()
        if value is None:
            raise ValueError(f"null at byte {self._position} where a text belongs")
        return value

    def optional_string(self) -> str | None:
        size = self._unsigned()
        return None if size == 0 else self.raw(size - 1).decode()

    def sized_bytes(self) -> bytes:
        return self.raw(self.length())

    def tags(self) -> dict[int, bytes]:
        return {self._unsigned(): self.raw(self._unsigned()) for _ in range(self._unsigned())}

    def _integer(self, struct: Struct) -> int:
        value: int = struct.unpack(self.raw(struct.size))[0]
        return value

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.raw(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 28:
                raise ValueError(f"varint at byte {self._position} is longer than five bytes")


def _unsigned(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
