"""
Makes up an event from nothing but its class: the same one each time, with a value in every field.

Values      taken from the class's JSON schema: an example where one is given (`Field(examples=[…])`, or for the whole
            class `json_schema_extra={"examples": […]}`), else the first member, the first alternative that is not null,
            the field's own name for a text, 1 for a number within its bounds, one item in a list
What fails  a pattern that no simple text matches, and rules that no schema tells (validators): these want an example
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Final, cast

from pydantic import JsonValue
from pydantic.errors import PydanticInvalidForJsonSchema
from pydantic_core import to_json

from eventbus.errors import DefinitionError, UndecodableMessage
from eventbus.messages import Event
from eventbus.serialization.json import decode, encode

_OF_FORMAT: Final[Mapping[str, str]] = {
    "binary": "text",
    "base64": "dGV4dA==",
    "base64url": "dGV4dA==",
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "duration": "PT1H",
    "email": "someone@example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "json-string": "{}",
    "time": "03:04:05Z",
    "uri": "https://example.org/",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "uuid1": "00000000-0000-1000-8000-000000000001",
    "uuid3": "00000000-0000-3000-8000-000000000001",
    "uuid4": "00000000-0000-4000-8000-000000000001",
    "uuid5": "00000000-0000-5000-8000-000000000001",
    "uuid7": "00000000-0000-7000-8000-000000000001",
}
_PATTERN_TRIED_MAX: Final = 40


class _NoValue(Exception):
    """Nothing here can be made up; the text says why."""


def sample_of(event: type[Event]) -> bytes:
    """
    A value of *event*, as it is encoded.

    Raises DefinitionError, with the field and the way out, when none can be made up.
    """
    try:
        schema = cast("dict[str, JsonValue]", event.model_json_schema())
        data = _Values(schema).of(schema, event.message_name)
        return encode(decode(event, to_json(data)))
    except (_NoValue, UndecodableMessage, PydanticInvalidForJsonSchema) as error:
        reason = str(error).partition("\n")[0]
        raise DefinitionError(
            f"{event.__module__}.{event.__qualname__}: no sample of it can be made up: {reason}: give an example "
            "(Field(examples=[…])), or write the file by hand"
        ) from error


class _Values:
    def __init__(self, schema: Mapping[str, JsonValue]) -> None:
        self._definitions = _mapping(schema.get("$defs"))
        self._inside: list[str] = []

    def of(self, schema: Mapping[str, JsonValue], name: str) -> JsonValue:
        """Raises _NoValue."""
        if examples := _sequence(schema.get("examples")):
            return examples[0]
        if "const" in schema:
            return schema["const"]
        if members := _sequence(schema.get("enum")):
            return members[0]
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._referred(reference.rpartition("/")[2], name)
        for combined in ("anyOf", "oneOf", "allOf"):
            if alternatives := _sequence(schema.get(combined)):
                return self._first([_mapping(one) for one in alternatives], name)
        match schema.get("type"):
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema, name)
            case "string":
                return _text(schema, name)
            case "integer" | "number":
                return _number(schema, name)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return name

    def _referred(self, definition: str, name: str) -> JsonValue:
        if definition in self._inside:
            raise _NoValue(f"{name} is a {definition} within a {definition}")
        self._inside.append(definition)
        try:
            return self.of(_mapping(self._definitions.get(definition)), name)
        finally:
            self._inside.pop()

    def _first(self, alternatives: list[Mapping[str, JsonValue]], name: str) -> JsonValue:
        failed: _NoValue | None = None
        for alternative in sorted(alternatives, key=lambda one: one.get("type") == "null"):
            try:
                return self.of(alternative, name)
            except _NoValue as error:
                failed = failed or error
        raise failed or _NoValue(f"{name} has no alternative")

    def _object(self, schema: Mapping[str, JsonValue]) -> JsonValue:
        required = _sequence(schema.get("required"))
        found: dict[str, JsonValue] = {}
        for name, one in _mapping(schema.get("properties")).items():
            try:
                found[name] = self.of(_mapping(one), name)
            except _NoValue:
                if name in required:
                    raise
        values = schema.get("additionalProperties")
        if not found and isinstance(values, dict):
            # Also a number, for what has numbers for keys.
            key = self.of(_mapping(schema.get("propertyNames")), "1")
            found[str(key)] = self.of(values, "value")
        return found

    def _array(self, schema: Mapping[str, JsonValue], name: str) -> JsonValue:
        if first := _sequence(schema.get("prefixItems")):
            return [self.of(_mapping(one), name) for one in first]
        least = schema.get("minItems")
        try:
            return [self.of(_mapping(schema.get("items")), name)] * (least if isinstance(least, int) and least else 1)
        except _NoValue:
            if least:
                raise
            return []


def _text(schema: Mapping[str, JsonValue], name: str) -> str:
    known = _OF_FORMAT.get(str(schema.get("format")))
    if known is not None:
        return known
    least, most = _real(schema.get("minLength")) or 0, _or(_real(schema.get("maxLength")), math.inf)
    pattern = schema.get("pattern")
    if not isinstance(pattern, str):
        padded = name.ljust(int(least), "_")
        return padded if len(padded) <= most else padded[: int(most)]
    for candidate in _candidates(name):
        if least <= len(candidate) <= most and _matches(pattern, candidate):
            return candidate
    raise _NoValue(f"{name} must match {pattern}")


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:  # the pattern is of another engine (pydantic's own is Rust's)
        return False


def _candidates(name: str) -> Iterator[str]:
    yield name
    for length in range(1, _PATTERN_TRIED_MAX):
        for letter in "A1a":
            yield letter * length
        yield "A" + "1" * length
        yield "a-" + "1" * length


def _number(schema: Mapping[str, JsonValue], name: str) -> int | float:
    bounds = {key: _real(schema.get(key)) for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")}
    low = max(_or(bounds["minimum"], -math.inf), _or(bounds["exclusiveMinimum"], -math.inf))
    high = min(_or(bounds["maximum"], math.inf), _or(bounds["exclusiveMaximum"], math.inf))
    step = _real(schema.get("multipleOf"))
    tried = [1.0, low, low + 1, high, high - 1, (low + high) / 2, 0.0]
    if step:
        tried = [step, *(math.ceil(one / step) * step for one in tried if math.isfinite(one))]
    for value in tried:
        is_within = low <= value <= high and value not in {bounds["exclusiveMinimum"], bounds["exclusiveMaximum"]}
        if math.isfinite(value) and is_within and (schema.get("type") == "number" or value.is_integer()):
            return int(value) if value.is_integer() else value
    raise _NoValue(f"{name} has bounds between which no number was found")


def _real(value: JsonValue) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _or(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}


def _sequence(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []
