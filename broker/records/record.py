"""
One record inside a batch.

Layout (varint as in varint.py; lengths of -1 stand for null)
    varint  length of what follows
    i8      attributes         unused
    varint  timestamp delta    timestamp = base timestamp + delta
    varint  offset delta       offset = base offset + delta
    varint  key length, key
    varint  value length, value
    varint  header count, then for each: varint name length, name (UTF-8), varint value length, value
Source      Kafka's DefaultRecord
"""

from typing import NamedTuple

from broker.records.header import CorruptBatch
from broker.records.varint import append_varint, read_varint

Header = tuple[str, bytes | None]


class Record(NamedTuple):
    """A record as it lies in a log; timestamps in ms since 1970, -1 when the producer gave none."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


class NewRecord(NamedTuple):
    """A record to be written; timestamp -1 takes the batch's."""

    key: bytes | None
    value: bytes | None
    timestamp: int = -1
    headers: tuple[Header, ...] = ()


def append_record(buffer: bytearray, record: NewRecord, timestamp_delta: int, offset_delta: int) -> None:
    """Writes *record* at the end of *buffer*."""
    body = bytearray(1)
    append_varint(body, timestamp_delta)
    append_varint(body, offset_delta)
    _append_nullable(body, record.key)
    _append_nullable(body, record.value)
    append_varint(body, len(record.headers))
    for name, value in record.headers:
        _append_nullable(body, name.encode())
        _append_nullable(body, value)
    append_varint(buffer, len(body))
    buffer += body


def read_record(
    data: memoryview, position: int, base_offset: int, base_timestamp: int, append_time: int | None
) -> tuple[Record, int]:
    """
    The record at *position* and the position behind it; *append_time* replaces its timestamp when the log set the time.

    Raises CorruptBatch when the bytes are no record.
    """
    try:
        length, start = read_varint(data, position)
        end = start + length
        if length < 0 or end > len(data):
            raise CorruptBatch(f"a record of {length} bytes where {len(data) - start} are left", position)
        timestamp_delta, cursor = read_varint(data, start + 1)
        offset_delta, cursor = read_varint(data, cursor)
        key, cursor = _read_nullable(data, cursor, end)
        value, cursor = _read_nullable(data, cursor, end)
        header_count, cursor = read_varint(data, cursor)
        # Every header takes two bytes at least, so the count cannot make us allocate more than was sent.
        if not 0 <= header_count <= (end - cursor) // 2:
            raise CorruptBatch(f"{header_count} headers in {end - cursor} bytes", cursor)
        headers: list[Header] = []
        for _ in range(header_count):
            name, cursor = _read_nullable(data, cursor, end)
            if name is None:
                raise CorruptBatch("a header without a name", cursor)
            header_value, cursor = _read_nullable(data, cursor, end)
            headers.append((name.decode(), header_value))
    except (IndexError, ValueError) as error:
        raise CorruptBatch(f"a record that does not decode ({error})", position) from error
    if cursor != end:
        raise CorruptBatch(f"a record of {length} bytes whose fields take {cursor - start}", position)
    timestamp = base_timestamp + timestamp_delta if append_time is None else append_time
    return Record(base_offset + offset_delta, timestamp, key, value, tuple(headers)), end


def _append_nullable(buffer: bytearray, value: bytes | None) -> None:
    if value is None:
        append_varint(buffer, -1)
    else:
        append_varint(buffer, len(value))
        buffer += value


def _read_nullable(data: memoryview, position: int, end: int) -> tuple[bytes | None, int]:
    length, position = read_varint(data, position)
    if length == -1:
        return None, position
    if length < 0 or position + length > end:
        raise CorruptBatch(f"a field of {length} bytes where {end - position} are left", position)
    return data[position : position + length].tobytes(), position + length
