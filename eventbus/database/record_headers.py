"""A record's headers as text in a column: readable where they are text, and without loss where they are not."""

import base64
import json

Headers = tuple[tuple[str, bytes | None], ...]


def headers_to_json(headers: Headers) -> str:
    """A list of [name, text], [name, null] or, for bytes that are no text, [name, null, base64]."""
    shown: list[list[str | None]] = []
    for name, value in headers:
        try:
            shown.append([name, None if value is None else value.decode()])
        except UnicodeDecodeError:
            shown.append([name, None, base64.b64encode(value or b"").decode()])
    return json.dumps(shown, ensure_ascii=False)


def headers_from_json(headers: str) -> Headers:
    """What `headers_to_json` was given."""
    rows: list[list[str | None]] = json.loads(headers)
    return tuple((row[0] or "", _value(row)) for row in rows)


def _value(row: list[str | None]) -> bytes | None:
    match row:
        case [_, None, str() as encoded]:
            return base64.b64decode(encoded)
        case [_, str() as value]:
            return value.encode()
        case _:
            return None
