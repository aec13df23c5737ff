"""
Zigzag varints, in which the fields of a record are written: small numbers of either sign take one byte.

Seven bits a byte, lowest first, the top bit set on all bytes but the last. 0, -1, 1, -2 become 0, 1, 2, 3.
Source      Protocol Buffers' encoding, as Kafka's ByteUtils uses it (at most 5 bytes for 32 bits, 10 for 64).
"""

_BYTES_MAX = 10


def append_varint(buffer: bytearray, value: int) -> None:
    """Writes *value* (i64) at the end of *buffer*."""
    rest = (value << 1) ^ (value >> 63)
    while rest > 0x7F:
        buffer.append((rest & 0x7F) | 0x80)
        rest >>= 7
    buffer.append(rest)


def read_varint(buffer: bytes | memoryview, position: int) -> tuple[int, int]:
    """
    The value at *position* and the position behind it.

    Raises IndexError where the buffer ends inside the number and ValueError when it has more than 10 bytes.
    """
    byte = buffer[position]
    position += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position
    result = byte & 0x7F
    shift = 7
    while True:
        byte = buffer[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (result >> 1) ^ -(result & 1), position
        shift += 7
        if shift >= 7 * _BYTES_MAX:
            raise ValueError(f"a varint of more than {_BYTES_MAX} bytes")
