"""kio as an oracle: it is generated from Kafka's definitions and shares no code with us."""

from __future__ import annotations

import datetime
import io
import random
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from kio.index import load_payload_module
from kio.schema.errors import ErrorCode as KioErrorCode
from kio.serial import entity_reader, entity_writer
from kio.static.constants import EntityType

from broker.errors import ErrorCode
from broker.wire.codec import decode, encode
from broker.wire.declaration import Field, Message, Request
from broker.wire.primitives import NO_UUID
from tests.broker.wire.values import EVERY_VERSION, assert_carries, random_struct

_MILLISECOND = datetime.timedelta(milliseconds=1)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def kio_value(theirs: object, field: Field) -> object:
    """kio's value in our terms: it has its own types for durations, times, errors and absent ids."""
    name = field.name if hasattr(theirs, field.name) else field.name.removesuffix("_ms").removesuffix("_timestamp")
    value: Any = getattr(theirs, name)
    match value:
        case None if field.kind == "uuid":
            return NO_UUID
        case None if field.name == "log_append_time_ms":
            return -1
        case datetime.timedelta():
            return value // _MILLISECOND
        case datetime.datetime():
            return (value - _EPOCH) // _MILLISECOND
        case Enum():
            return value.value
        case tuple() if field.kind == "uuid":
            return [NO_UUID if one is None else UUID(str(one)) for one in value]
        case tuple():
            return list(value)
        case _ if field.struct is not None and field.default is None and field.tag is not None:
            return None if value == type(value)() else value
        case _:
            return value


@pytest.mark.parametrize(
    ("message", "version"), EVERY_VERSION, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_kio_reads_what_we_write_and_we_read_what_kio_writes(message: type[Message], version: int) -> None:
    """Every API, version and direction, field by field and then byte by byte."""
    kind = EntityType.request if issubclass(message, Request) else EntityType.response
    theirs_class = getattr(load_payload_module(int(message.api.key), version, kind), message.__name__)
    read, write = entity_reader(theirs_class), entity_writer(theirs_class)
    for seed in range(4):
        ours = random_struct(message, version, random.Random(f"{message.__name__} {version} {seed}"))
        encoded = encode(ours, version)
        theirs, size = read(encoded, 0)
        assert size == len(encoded)
        assert_carries(ours, theirs, version, kio_value, message.__name__)
        buffer = io.BytesIO()
        write(buffer, theirs)
        assert buffer.getvalue() == encoded
        assert decode(message, version, buffer.getvalue()) == ours


def test_error_codes_are_those_that_kio_knows() -> None:
    """Names and retriable flags agree; what Kafka added since is only ours."""
    theirs = {code.value: (code.name.upper(), code.retriable) for code in KioErrorCode}
    ours = {int(code): (code.name, code.retriable) for code in ErrorCode}
    assert {value: ours[value] for value in theirs} == theirs
