"""kafka-python as a second oracle, for the APIs and versions that it has."""

from __future__ import annotations

import pkgutil
import random
from importlib import import_module
from typing import Any
from uuid import UUID

import kafka.protocol
import pytest
from kafka.protocol.api_message import ApiMessage

from broker.wire.codec import decode, encode
from broker.wire.declaration import Field, Message
from broker.wire.messages.api_versions import ApiVersionsResponse
from broker.wire.primitives import NO_UUID
from tests.broker.wire.values import EVERY_VERSION, assert_carries, random_struct


def kafka_python_classes() -> dict[str, Any]:
    """Its message classes by Kafka's name."""
    names = [
        module.name
        for module in pkgutil.walk_packages(kafka.protocol.__path__, "kafka.protocol.")
        if ".old" not in module.name and "generate_stubs" not in module.name
    ]
    return {
        name: value
        for module in names
        for name, value in vars(import_module(module)).items()
        if isinstance(value, type) and issubclass(value, ApiMessage) and value is not ApiMessage
    }


CLASSES = kafka_python_classes()
SHARED = [
    (message, version)
    for message, version in EVERY_VERSION
    if message.__name__ in CLASSES and version <= CLASSES[message.__name__].max_version
]


def their_value(theirs: object, field: Field) -> object:
    """Its value in our terms: it makes sets of bit fields, and shortens their names."""
    value: Any = getattr(theirs, field.name if hasattr(theirs, field.name) else "authorized_operations")
    if field.name.endswith("authorized_operations") and (value is None or isinstance(value, set)):
        return _int32({31} if value is None else value)
    if field.kind == "uuid":
        return [_uuid(one) for one in value] if isinstance(value, list) else _uuid(value)
    return value


def _int32(bits: set[int]) -> int:
    value = sum(1 << bit for bit in bits)
    return value - (1 << 32) if value >> 31 else value


def _uuid(value: object) -> UUID:
    return NO_UUID if value is None else UUID(str(value))


def test_kafka_python_shares_most_of_what_is_declared() -> None:
    """The oracle is there: an empty list would make the next test say nothing."""
    assert len(SHARED) > 400


@pytest.mark.parametrize(("message", "version"), SHARED, ids=lambda value: getattr(value, "__name__", str(value)))
def test_kafka_python_reads_what_we_write_and_we_read_what_it_writes(message: type[Message], version: int) -> None:
    """Every API, version and direction that it has, field by field and then the way back."""
    theirs_class = CLASSES[message.__name__]
    for seed in range(3):
        ours = random_struct(message, version, random.Random(f"{message.__name__} {version} {seed}"))
        if isinstance(ours, ApiVersionsResponse):
            ours.error_code = 0  # it reads any error's answer as v0
        theirs = theirs_class.decode(encode(ours, version), version=version)
        assert_carries(ours, theirs, version, their_value, message.__name__)
        theirs._header = None
        assert decode(message, version, theirs.encode(version=version)) == ours
