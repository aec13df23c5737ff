"""
Kafka's primitive types, to and from bytes.

Layout (big-endian)
    bool int8 int16 uint16 int32 uint32 int64 float64    fixed width
    uvarint    7 bits a byte, low ones first, high bit set on all but the last; at most 5 bytes
    varint     zigzag of an int32, then as uvarint; varlong the same of an int64, at most 10 bytes
    uuid       16 bytes; all zero stands for none
    string     int16 length, then UTF-8; length -1 is null
    compact string   uvarint length + 1, then UTF-8; 0 is null
    bytes, records   int32 length; compact: uvarint length + 1; null as with strings
    array      int32 count, compact: uvarint count + 1; null as with strings
    tagged fields    uvarint count, then per field: uvarint tag, uvarint size, the bytes
Bounds      a length or a count is held against the bytes that are left before anything is made of it
Source      Kafka's protocol guide, section "Protocol Primitive Types"; KIP-482 (compact types and tagged fields)

Readers take a buffer and a position and give the value and the position after it; what does not fit raises
MalformedMessage. Writers append to a bytearray. The compiled codecs inline the frequent cases and call these otherwise.
"""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from broker.errors import MalformedMessage

Buffer = bytes | bytearray | memoryview

NO_UUID = UUID(int=0)

_UUIDS_KEPT = 4096
_uuids: dict[bytes, UUID] = {bytes(16): NO_UUID}


class RecordsSlice(Protocol):
    """
    Records that stay where they are, in a file, until the socket takes them.

    Promises that *size* bytes will follow; the encoder counts them and passes the object through untouched.
    """

    @property
    def size(self) -> int:
        """Bytes."""
        ...


Records = bytes | bytearray | memoryview | RecordsSlice
Piece = bytes | bytearray | memoryview | RecordsSlice

# Records up to this many bytes are copied behind the bytes before them; longer ones become a piece of their own.
_COPIED_RECORDS_BYTES_MAX = 2048


def too_short(what: str, position: int, wanted: int, end: int) -> MalformedMessage:
    """The error for *wanted* bytes where the buffer ends at *end*."""
    return MalformedMessage(what, position, f"{wanted} bytes wanted, {max(end - position, 0)} left")


def unexpected_null(what: str, position: int, length: int) -> MalformedMessage:
    """The error for a negative length where null is not allowed, or one below -1."""
    return MalformedMessage(what, position, f"length {length} is not allowed here")


def read_uvarint(buffer: Buffer, position: int) -> tuple[int, int]:
    """Reads an unsigned number below 2^32."""
    value = shift = 0
    at = position
    while shift < 35:
        if at >= len(buffer):
            raise too_short("uvarint", position, at - position + 1, len(buffer))
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFF_FFFF:
                break
            return value, at
        shift += 7
    raise MalformedMessage("uvarint", position, "a number above 2^32 - 1")


def write_uvarint(out: bytearray, value: int) -> None:
    """Appends an unsigned number."""
    while value > 127:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def read_varint(buffer: Buffer, position: int) -> tuple[int, int]:
    """Reads a zigzag number of 32 bits."""
    value, position = read_uvarint(buffer, position)
    return (value >> 1) ^ -(value & 1), position


def write_varint(out: bytearray, value: int) -> None:
    """Appends a zigzag number of 32 bits."""
    write_uvarint(out, (value << 1 ^ value >> 31) & 0xFFFF_FFFF)


def read_varlong(buffer: Buffer, position: int) -> tuple[int, int]:
    """Reads a zigzag number of 64 bits."""
    value = shift = 0
    at = position
    while shift < 70:
        if at >= len(buffer):
            raise too_short("varlong", position, at - position + 1, len(buffer))
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > 0xFFFF_FFFF_FFFF_FFFF:
                break
            return (value >> 1) ^ -(value & 1), at
        shift += 7
    raise MalformedMessage("varlong", position, "a number above 2^64 - 1")


def write_varlong(out: bytearray, value: int) -> None:
    """Appends a zigzag number of 64 bits."""
    write_uvarint(out, (value << 1 ^ value >> 63) & 0xFFFF_FFFF_FFFF_FFFF)


def read_string(buffer: Buffer, position: int) -> tuple[str | None, int]:
    """Reads a nullable string with an int16 length (request headers have one in every version)."""
    start = position + 2
    if start > len(buffer):
        raise too_short("string", position, 2, len(buffer))
    length = int.from_bytes(buffer[position:start], "big", signed=True)
    if length < 0:
        if length < -1:
            raise unexpected_null("string", position, length)
        return None, start
    return read_text(buffer, start, length)


def read_text(buffer: Buffer, start: int, length: int) -> tuple[str, int]:
    """Reads the UTF-8 of a string whose length is known and not negative."""
    end = start + length
    if end > len(buffer):
        raise too_short("string", start, length, len(buffer))
    try:
        return str(buffer[start:end], "utf-8"), end
    except UnicodeDecodeError as error:
        raise MalformedMessage("string", start, str(error)) from None


def write_string(out: bytearray, value: str | None) -> None:
    """Appends a nullable string with an int16 length."""
    if value is None:
        out += b"\xff\xff"
        return
    encoded = value.encode()
    out += len(encoded).to_bytes(2, "big", signed=True)
    out += encoded


def read_uuid(raw: bytes) -> UUID:
    """The UUID of 16 bytes. Topic ids come again and again: the last few thousand are kept."""
    known = _uuids.get(raw)
    if known is None:
        if len(_uuids) >= _UUIDS_KEPT:
            _uuids.clear()
        known = _uuids[raw] = UUID(bytes=raw)
    return known


def skip_tagged_fields(buffer: Buffer, position: int, count: int) -> int:
    """The position after *count* tagged fields that nobody here knows."""
    for _ in range(count):
        _, position = read_uvarint(buffer, position)
        size, position = read_uvarint(buffer, position)
        if position + size > len(buffer):
            raise too_short("tagged field", position, size, len(buffer))
        position += size
    return position


def write_records(out: bytearray, pieces: list[Piece], records: Records | None, compact: bool) -> bytearray:
    """Appends records, in *out* or as a piece of their own behind it; the bytearray that is to be written next."""
    if records is None:
        out += b"\x00" if compact else b"\xff\xff\xff\xff"
        return out
    if isinstance(records, (bytes, bytearray, memoryview)):
        size = len(records)
        _write_size(out, size, compact)
        if size <= _COPIED_RECORDS_BYTES_MAX:
            out += records
            return out
    else:
        size = records.size
        _write_size(out, size, compact)
        if not size:
            return out
    pieces.append(out)
    pieces.append(records)
    return bytearray()


def _write_size(out: bytearray, size: int, compact: bool) -> None:
    if compact:
        write_uvarint(out, size + 1)
    else:
        out += size.to_bytes(4, "big", signed=True)
