"""What a stranger may send: damage is a MalformedMessage and nothing else, and memory stays in proportion."""

from __future__ import annotations

import contextlib
import random
import struct
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import MalformedMessage, ProtocolError
from broker.wire.codec import decode, encode
from broker.wire.declaration import Message
from broker.wire.frame import decode_request
from broker.wire.headers import decode_request_header
from broker.wire.messages.metadata import MetadataRequest
from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.broker.wire.values import EVERY_VERSION, random_struct

_EVERY = pytest.mark.parametrize(
    ("message", "version"), EVERY_VERSION, ids=lambda value: getattr(value, "__name__", str(value))
)


@_EVERY
def test_a_message_that_is_cut_anywhere_is_malformed(message: type[Message], version: int) -> None:
    """No prefix of a message is a message."""
    source = random.Random(f"cut {message.__name__} {version}")
    encoded = encode(random_struct(message, version, source), version)
    cuts = range(len(encoded)) if len(encoded) <= 600 else source.sample(range(len(encoded)), 600)
    for cut in cuts:
        with pytest.raises(MalformedMessage) as caught:
            decode(message, version, encoded[:cut])
        assert 0 <= caught.value.position <= len(encoded)


@_EVERY
def test_a_damaged_message_is_read_or_malformed_and_nothing_else(message: type[Message], version: int) -> None:
    """Flipped, inserted and removed bytes raise MalformedMessage or give some message."""
    source = random.Random(f"damage {message.__name__} {version}")
    for _ in range(60):
        damaged = bytearray(encode(random_struct(message, version, source), version))
        for _ in range(source.choice((1, 1, 2, 8))):
            at = source.randrange(len(damaged) + 1)
            damaged[at : at + source.choice((0, 1, 1))] = source.choice(
                (b"\xff", b"\x7f", b"\x80", b"\x00", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", source.randbytes(1))
            )
        with contextlib.suppress(MalformedMessage):
            decode(message, version, bytes(damaged))


@pytest.mark.parametrize("version", [3, 9])
@pytest.mark.parametrize("count", [2**31 - 2, 2**24, 1000])
def test_a_count_that_the_bytes_do_not_bear_out_takes_no_memory(version: int, count: int) -> None:
    """A frame of 40 bytes that claims thousands of topics is refused before anything is made of them."""
    head = b"\xff\xff" if version < 9 else b"\x00"
    claimed = count.to_bytes(4, "big") if version < 9 else _uvarint(count + 1)
    frame = (head + b"\x00\x01\x00\x00\x00\x64" + claimed).ljust(40, b"\x01")
    with pytest.raises(MalformedMessage):  # compiles the codec
        decode(ProduceRequest, version, frame)
    tracemalloc.start()
    with pytest.raises(MalformedMessage, match="bytes wanted"):
        decode(ProduceRequest, version, frame)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16_384


def test_a_message_of_too_many_items_is_malformed() -> None:
    """A large frame of tiny items would become a hundred times its size in objects; nested arrays count together."""
    partitions = [PartitionProduceData(index=at) for at in range(1000)]
    encoded = encode(ProduceRequest(topic_data=[TopicProduceData(partition_data=partitions)]), 9)
    topic = encoded[8:-1]
    assert len(decode(ProduceRequest, 9, encoded).topic_data[0].partition_data) == 1000
    with pytest.raises(MalformedMessage, match="more than 1000000 items"):
        decode(ProduceRequest, 9, encoded[:7] + _uvarint(1001) + topic * 1000 + b"\x00")


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(EVERY_VERSION), st.binary(max_size=60), st.binary(max_size=60))
def test_a_frame_of_noise_is_a_protocol_error_or_a_request(
    declared: tuple[type[Message], int], head: bytes, body: bytes
) -> None:
    """Whatever stands behind a key and a version that are right."""
    message, version = declared
    for frame in (_frame(message, version, b"\xff\xff", body), _frame(message, version, b"", head), head):
        with contextlib.suppress(ProtocolError):
            decode_request(decode_request_header(memoryview(frame)), memoryview(frame))


def _frame(message: type[Message], version: int, client_id: bytes, body: bytes) -> bytes:
    tagged = b"\x00" if message.api.is_flexible(version) else b""
    return struct.pack(">hhi", message.api.key, version, 1) + client_id + tagged + body


def test_bytes_behind_a_message_are_malformed_unless_they_may_trail() -> None:
    """A request with something behind it is read, as Kafka does; a message that must fill its buffer is not."""
    encoded = encode(MetadataRequest(topics=None), 9) + b"?"
    with pytest.raises(MalformedMessage, match="1 bytes too many"):
        decode(MetadataRequest, 9, encoded)
    assert decode(MetadataRequest, 9, encoded, may_trail=True) == MetadataRequest(
        topics=None, allow_auto_topic_creation=True
    )


@pytest.mark.parametrize(
    ("version", "frame", "reason"),
    [
        (3, b"\x00\x01\xff", "UTF-8|utf-8"),
        (3, b"\xff\xfe", "length -2 is not allowed here"),
        (3, b"\x00\x05abc", "5 bytes wanted, 3 left"),
        (9, b"\x06abc", "5 bytes wanted, 3 left"),
        (9, b"\xff\xff\xff\xff\x7f", "a number above"),
        (9, b"\x80\x80\x80\x80\x80\x01", "a number above"),
        (9, b"\x80", "2 bytes wanted, 1 left"),
        (9, b"\x01\x00\x01", "left are too few"),
    ],
)
def test_the_reason_and_the_position_are_named(version: int, frame: bytes, reason: str) -> None:
    """Whoever reads the log sees what was wrong, and where."""
    with pytest.raises(MalformedMessage, match=reason) as caught:
        decode(ProduceRequest, version, frame)
    assert caught.value.position <= len(frame)


def test_null_where_none_is_allowed_is_malformed() -> None:
    """A topic without a name is refused."""
    topic = TopicProduceData(name="t", partition_data=[PartitionProduceData(records=None)])
    encoded = encode(ProduceRequest(topic_data=[topic]), 9)
    at = encoded.index(b"\x02t")
    with pytest.raises(MalformedMessage, match="length -1 is not allowed here"):
        decode(ProduceRequest, 9, encoded[:at] + b"\x00" + encoded[at + 2 :])


def test_a_tagged_field_of_the_wrong_size_is_malformed() -> None:
    """The bytes of a known tagged field must be read to their end."""
    request = MetadataRequest(topics=None)
    assert decode(MetadataRequest, 12, encode(request, 12)[:-1] + b"\x01\x63\x02ab") == request
    with pytest.raises(MalformedMessage):
        decode(MetadataRequest, 12, encode(request, 12)[:-1] + b"\x01\x63\x03ab")


def _uvarint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
