"""Our declarations against the definitions in Kafka's client jar (facts/messages.json, written by facts/extract.py)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import pytest

from broker.wire.apis import APIS, ApiKey
from broker.wire.declaration import NO_VERSIONS, REQUIRED, Field, Message, Struct, Versions, fields_of
from broker.wire.messages import request_class, response_class
from broker.wire.primitives import NO_UUID

FACTS = cast("dict[str, Any]", json.loads((Path(__file__).parent / "facts" / "messages.json").read_text()))
DECLARED: list[type[Message]] = [*map(request_class, ApiKey), *map(response_class, ApiKey)]

Row = tuple[str, str, bool, Versions, Versions, int | None, object, tuple["Row", ...]]


def snake_case(name: str) -> str:
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", words).lower()


def default_of(kind: str, is_array: bool, nullable: bool, tagged: bool, text: object) -> object:
    """What a default in Kafka's words is in ours."""
    if is_array:
        return None if text == "null" else ()
    if kind == "struct":
        return None if nullable or tagged else REQUIRED
    if text == "null" or kind == "records":
        return None
    if kind == "bool":
        return str(text).lower() == "true"
    if kind in ("string", "bytes", "uuid"):
        return {"string": text or "", "bytes": b"", "uuid": NO_UUID}[kind]
    return float(text or 0) if kind == "float64" else int(str(text or 0), 0)


def kafka_row(fact: list[Any]) -> Row:
    name, kind, versions, nullable, tag, default, inner = fact
    is_array = kind.startswith("[]")
    kind = "struct" if inner else kind.removeprefix("[]")
    value = default_of(kind, is_array, nullable is not None, tag is not None, default)
    nullables = Versions.parse(nullable) if nullable else NO_VERSIONS
    rows = tuple(map(kafka_row, inner))
    return (snake_case(name), kind, is_array, Versions.parse(versions), nullables, tag, value, rows)


def our_row(field: Field) -> Row:
    rows = our_rows(field.struct) if field.struct else ()
    return (*field[:4], field.nullable, field.tag, field.default, rows)


def our_rows(struct: type[Struct]) -> tuple[Row, ...]:
    return tuple(map(our_row, fields_of(struct)))


@pytest.mark.parametrize("message", DECLARED, ids=lambda message: message.__name__)
def test_every_field_is_declared_as_kafka_defines_it(message: type[Message]) -> None:
    """Name, type, versions, nullable versions, tag and default of every field, in the order on the wire."""
    assert our_rows(message) == tuple(map(kafka_row, FACTS[message.__name__]["fields"]))


@pytest.mark.parametrize("message", DECLARED, ids=lambda message: message.__name__)
def test_versions_and_flexible_versions_are_kafkas(message: type[Message]) -> None:
    """The range is Kafka's without a last version that Kafka itself calls unstable."""
    fact, api = FACTS[message.__name__], message.api
    unstable = FACTS[f"{api.name}Request"]["unstable"]
    lowest, highest = Versions.parse(fact["versions"])
    assert (api.key, api.lowest, api.highest) == (fact["key"], lowest, highest - unstable)
    flexible = None if fact["flexible"] == "none" else Versions.parse(fact["flexible"]).lowest
    assert api.flexible_from == flexible


def test_an_api_has_one_row_in_the_table() -> None:
    """The enum of keys and the table of APIs have the same members."""
    assert set(APIS) == set(ApiKey)
