"""A record as a line: for people, and as JSON that can be read back."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from broker.cli.output import JsonValue, time_text
from broker.cli.refused import Refused

HeaderList = Sequence[tuple[str, bytes | None]]


class ReadRecord(NamedTuple):
    """A record with its place; the timestamp in ms since 1970, -1 for none."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: HeaderList


class GivenRecord(NamedTuple):
    """A record to be written; the partition -1 is the partitioner's choice."""

    key: bytes | None
    value: bytes | None
    headers: HeaderList
    partition: int = -1


def as_text(record: ReadRecord, form: str) -> str:
    """One line of the form full, key-value or value; what is not UTF-8 is written as \\xNN."""
    value = _text(record.value)
    if form == "value":
        return value
    if form == "key-value":
        return f"{_text(record.key)}\t{value}"
    headers = "".join(f" {name}={_text(content)}" for name, content in record.headers)
    time = time_text(record.timestamp) or "-"
    return f"{record.partition}:{record.offset} {time} {_text(record.key)} {value}{' |' + headers if headers else ''}"


def as_json(record: ReadRecord) -> dict[str, JsonValue]:
    """Key, value and header values are text, null, or {"base64": …} where they are not UTF-8."""
    return {
        "partition": record.partition,
        "offset": record.offset,
        "time": time_text(record.timestamp),
        "key": _json(record.key),
        "value": _json(record.value),
        "headers": [[name, _json(content)] for name, content in record.headers],
    }


def from_json(line: str, number: int) -> GivenRecord:
    """
    What `as_json` wrote; only "value" has to be there, and its partition is not taken over. Raises Refused with the
    line's number.
    """
    try:
        read: object = json.loads(line)
        if not isinstance(read, dict):
            raise ValueError("not an object")
        fields = cast("Mapping[str, object]", read)
        if "value" not in fields:
            raise ValueError('there is no "value" (null is a tombstone)')
        headers: object = fields.get("headers", [])
        if not isinstance(headers, list):
            raise ValueError('"headers" is no list of [name, value]')
        return GivenRecord(
            _bytes(fields.get("key")),
            _bytes(fields["value"]),
            [_header(each) for each in cast("list[object]", headers)],
        )
    except (ValueError, binascii.Error) as error:
        raise Refused(f"line {number}: {error}; expected what `broker records read --json` writes") from error


def _header(given: object) -> tuple[str, bytes | None]:
    if not isinstance(given, list):
        raise ValueError(f"the header {given!r} is not [name, value]")
    pair = cast("list[object]", given)
    if len(pair) != 2 or not isinstance(pair[0], str):
        raise ValueError(f"the header {pair!r} is not [name, value]")
    return pair[0], _bytes(pair[1])


def _bytes(given: object) -> bytes | None:
    if given is None:
        return None
    if isinstance(given, str):
        return given.encode()
    if isinstance(given, dict):
        packed = cast("Mapping[str, object]", given).get("base64")
        if isinstance(packed, str) and len(cast("Mapping[str, object]", given)) == 1:
            return base64.b64decode(packed, validate=True)
    # A JSON document as value is what one would like to write by hand.
    return json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode()


def _json(content: bytes | None) -> JsonValue:
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _text(content: bytes | None) -> str:
    return "-" if content is None else content.decode("utf-8", "backslashreplace")
