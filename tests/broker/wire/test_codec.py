"""Encoding and decoding as the handlers see it."""

from __future__ import annotations

import random
import subprocess
import sys
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import UnencodableMessage
from broker.wire.codec import decode, encode, encode_behind
from broker.wire.declaration import Message, Versions, fields_of
from broker.wire.messages.consumer_groups import ConsumerGroupHeartbeatAssignment, ConsumerGroupHeartbeatResponse
from broker.wire.messages.fetch import FetchableTopicResponse, FetchEpochEndOffset, FetchPartitionData, FetchResponse
from broker.wire.messages.metadata import MetadataRequest, MetadataResponse, MetadataResponseTopic
from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tests.broker.wire.values import EVERY_VERSION, FileSlice, joined, random_struct


def fetch_response(*records: bytes | FileSlice | None) -> FetchResponse:
    partitions = [FetchPartitionData(partition_index=at, records=one) for at, one in enumerate(records)]
    return FetchResponse(responses=[FetchableTopicResponse(topic="orders", partitions=partitions)])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(EVERY_VERSION), st.randoms(use_true_random=False))
def test_a_message_comes_back_as_it_was(declared: tuple[type[Message], int], source: random.Random) -> None:
    """Every field that the version carries survives."""
    message, version = declared
    built = random_struct(message, version, source)
    assert decode(message, version, encode(built, version)) == built


def test_produced_records_stay_where_they_arrived() -> None:
    """The records of a request are a window on the frame, through which a base offset can be patched in place."""
    data = PartitionProduceData(records=memoryview(b"a batch of records"))
    frame = bytearray(encode(ProduceRequest(topic_data=[TopicProduceData(partition_data=[data])]), 9))
    records = decode(ProduceRequest, 9, memoryview(frame)).topic_data[0].partition_data[0].records
    assert records is not None
    records[0:1] = b"A"
    assert b"A batch of records" in frame


@pytest.mark.parametrize("version", [4, 12, 18])
def test_a_file_slice_is_passed_through_and_counted(version: int) -> None:
    """Header bytes, slice, bytes, slice, bytes: what is in files never becomes bytes here."""
    slices = FileSlice(70_000), FileSlice(3)
    pieces = encode_behind(bytearray(b"header"), fetch_response(*slices), version)
    assert [piece for piece in pieces if isinstance(piece, FileSlice)] == list(slices)
    assert joined(pieces) == b"header" + encode(fetch_response(bytes(70_000), bytes(3)), version)


def test_an_empty_slice_is_no_piece() -> None:
    """Nothing is left for the socket to do with it."""
    (piece,) = encode_behind(bytearray(), fetch_response(FileSlice(0), None), 12)
    assert piece == encode(fetch_response(b"", None), 12)


def test_long_records_in_memory_are_not_copied() -> None:
    """Bytes above a few kilobytes become a piece of their own."""
    records = bytes(100_000)
    assert any(piece is records for piece in encode_behind(bytearray(), fetch_response(records), 12))


def test_fields_that_a_version_lacks_have_their_default() -> None:
    """One class serves all versions."""
    request = MetadataRequest(topics=[], include_topic_authorized_operations=True, allow_auto_topic_creation=False)
    assert decode(MetadataRequest, 1, encode(request, 1)) == MetadataRequest(topics=[])
    assert decode(MetadataRequest, 8, encode(request, 8)) == request


def test_a_tagged_field_at_its_default_is_not_sent() -> None:
    """An absent diverging epoch costs no byte, a present one comes back."""
    without, response = fetch_response(None), fetch_response(None)
    response.responses[0].partitions[0].diverging_epoch = FetchEpochEndOffset(epoch=4, end_offset=99)
    assert len(encode(response, 12)) - len(encode(without, 12)) == 15
    assert decode(FetchResponse, 12, encode(response, 12)) == response
    assert decode(FetchResponse, 11, encode(response, 11)) == without


def test_tagged_fields_that_nobody_declared_are_skipped() -> None:
    """A newer peer may add them to any struct."""
    encoded = encode(MetadataRequest(topics=None), 12)
    newer = encoded[:-1] + b"\x02" + b"\x05\x03abc" + b"\x90\x01\x00"
    assert decode(MetadataRequest, 12, newer) == MetadataRequest(topics=None)


def test_a_nullable_struct_is_told_by_one_byte() -> None:
    """Null and empty are different assignments."""
    for assignment in (None, ConsumerGroupHeartbeatAssignment(topic_partitions=[])):
        response = ConsumerGroupHeartbeatResponse(assignment=assignment)
        assert decode(ConsumerGroupHeartbeatResponse, 0, encode(response, 0)) == response


def test_null_and_the_empty_array_are_different() -> None:
    """All topics, and no topic."""
    assert decode(MetadataRequest, 1, encode(MetadataRequest(topics=None), 1)).topics is None
    assert decode(MetadataRequest, 1, encode(MetadataRequest(topics=()), 1)).topics == []


@pytest.mark.parametrize(
    ("message", "version"),
    [
        (MetadataResponse(topics=[MetadataResponseTopic(name=None)]), 9),
        (MetadataRequest(topics=None), 0),
        (MetadataResponse(controller_id=2**31), 9),
        (MetadataResponse(cluster_id="x" * 40_000), 3),
    ],
)
def test_what_a_version_cannot_carry_is_our_own_error(message: Message, version: int) -> None:
    """A null without a place for it, a number or a string out of range: named with message and version."""
    with pytest.raises(UnencodableMessage, match=f"cannot encode {type(message).__name__} v{version}: "):
        encode(message, version)


def test_a_message_compares_by_value_and_shows_its_fields() -> None:
    """Lists and tuples are the same to it, classes are not."""
    one = TopicProduceData(name="t", partition_data=(PartitionProduceData(index=1),))
    assert one == TopicProduceData(name="t", partition_data=[PartitionProduceData(index=1)])
    assert one != TopicProduceData(name="t")
    assert one != PartitionProduceData()
    assert "partition_data=(PartitionProduceData(index=1, records=None),)" in repr(one)


def test_a_misspelt_field_is_refused() -> None:
    """At construction, and on assignment, because the classes are slotted."""
    with pytest.raises(TypeError, match="indx"):
        PartitionProduceData(indx=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        PartitionProduceData().indx = 1  # type: ignore[attr-defined]


def test_topic_ids_are_uuids() -> None:
    """They come back as they were built."""
    topic = TopicProduceData(topic_id=UUID(int=7))
    assert decode(ProduceRequest, 13, encode(ProduceRequest(topic_data=[topic]), 13)).topic_data == [topic]


def test_versions_are_read_from_the_words_of_a_declaration() -> None:
    """From, between, alone; anything else is an error."""
    assert 5 in Versions.parse("3+")
    assert 2 not in Versions.parse("3+")
    assert Versions.parse("3-5") == (3, 5)
    assert Versions.parse("4") == (4, 4)
    with pytest.raises(ValueError, match="invalid literal"):
        Versions.parse("x")
    assert [field.name for field in fields_of(PartitionProduceData)] == ["index", "records"]


def test_importing_the_wire_imports_no_message_family() -> None:
    """A broker that starts pays for the families that it serves, when it serves them."""
    script = "import sys, broker.wire.frame; print([m for m in sys.modules if m.startswith('broker.wire.messages.')])"
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert shown.stdout.strip() == "[]"
