"""Frames and headers."""

from __future__ import annotations

import pytest
from kafka.protocol.api_header import RequestHeader as TheirRequestHeader

from broker.errors import InvalidFrameSize, MalformedMessage, UnknownApiKey, UnsupportedVersion
from broker.wire.apis import APIS, ApiKey, advertised
from broker.wire.codec import decode
from broker.wire.frame import (
    SIZE_BYTES,
    decode_request,
    decode_response,
    encode_request,
    encode_response,
    frame_size,
    with_correlation_id,
)
from broker.wire.headers import decode_request_header, decode_response_header
from broker.wire.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse
from broker.wire.messages.fetch import FetchableTopicResponse, FetchPartitionData, FetchResponse
from broker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tests.broker.wire.values import FileSlice, joined


@pytest.mark.parametrize("version", [1, 9])
@pytest.mark.parametrize("client_id", [None, "", "rdkafka", "größer"])
def test_a_request_comes_back_with_its_header(version: int, client_id: str | None) -> None:
    """Key, version, correlation id, client id and message, in both header versions."""
    request = MetadataRequest(topics=[MetadataRequestTopic(name="orders")])
    frame = encode_request(request, version, 77, client_id)
    assert frame_size(frame, 1000) == len(frame) - SIZE_BYTES
    body = memoryview(frame)[SIZE_BYTES:]
    header = decode_request_header(body)
    assert header[:4] == (APIS[ApiKey.METADATA], version, 77, client_id)
    assert decode_request(header, body) == request


@pytest.mark.parametrize("version", [1, 9])
def test_kafka_python_writes_the_headers_that_we_read(version: int) -> None:
    """An independent header, compact client id excepted: it is never compact."""
    flexible = version >= 9
    theirs = TheirRequestHeader(request_api_key=3, request_api_version=version, correlation_id=5, client_id="me")
    encoded = bytes(theirs.encode(flexible=flexible))
    assert decode_request_header(encoded) == (APIS[ApiKey.METADATA], version, 5, "me", len(encoded))


def test_tagged_fields_in_a_header_are_skipped() -> None:
    """A newer client may send some."""
    frame = bytes.fromhex("0003 000c 00000001 ffff 01 05 02 abcd")
    assert decode_request_header(frame).body == len(frame)


@pytest.mark.parametrize("cut", range(14))
def test_a_header_that_is_cut_is_malformed(cut: int) -> None:
    """At every byte."""
    frame = encode_request(MetadataRequest(topics=None), 9, 1, "me")[SIZE_BYTES:]
    with pytest.raises(MalformedMessage):
        decode_request(decode_request_header(frame[:cut]), frame[:cut])


def test_an_unknown_key_is_told_by_its_number() -> None:
    """Nothing can be answered to it."""
    with pytest.raises(UnknownApiKey, match="unknown API key 999"):
        decode_request_header(bytes.fromhex("03e7 0000 00000001 ffff"))


def test_a_version_that_is_not_declared_is_refused_after_its_header() -> None:
    """The header is there for the log line."""
    header = decode_request_header(bytes.fromhex("0000 0063 00000001 ffff 00"))
    with pytest.raises(UnsupportedVersion, match="Produce v99"):
        decode_request(header, b"")


@pytest.mark.parametrize("size", [-1, -(2**31), 101, 2**31 - 1])
def test_a_size_outside_the_limit_is_refused(size: int) -> None:
    """The error names the size, the limit and the setting."""
    with pytest.raises(InvalidFrameSize, match=rf"frame of {size} bytes, allowed are 0 to 100 \(socket.request.max"):
        frame_size(size.to_bytes(4, "big", signed=True), 100)


def test_the_size_prefix_counts_what_is_still_in_files() -> None:
    """A fetch answer's prefix is right before the first record was read."""
    data = [FetchPartitionData(records=FileSlice(1_000_000)), FetchPartitionData(records=b"12")]
    pieces = encode_response(FetchResponse(responses=[FetchableTopicResponse(partitions=data)]), 12, 9)
    frame = joined(pieces)
    assert frame_size(frame, 2**31 - 1) == len(frame) - SIZE_BYTES > 1_000_000


def test_a_response_comes_back_with_its_correlation_id() -> None:
    """In both header versions."""
    for version in (11, 12):
        frame = joined(encode_response(FetchResponse(session_id=4), version, -5))
        assert decode_response(FetchResponse, version, frame[SIZE_BYTES:]) == (-5, FetchResponse(session_id=4))
    with pytest.raises(MalformedMessage):
        decode_response_header(APIS[ApiKey.FETCH], 12, b"\x00\x00\x00")


@pytest.mark.parametrize("version", [0, 3, 4])
def test_an_api_versions_answer_has_the_plain_header_in_every_version(version: int) -> None:
    """Its reader does not know yet what we speak: correlation id, then the body at once."""
    rows = [ApiVersion(**row._asdict()) for row in advertised([ApiKey.METADATA, ApiKey.API_VERSIONS])]
    frame = joined(encode_response(ApiVersionsResponse(api_keys=rows), version, 7))
    assert decode(ApiVersionsResponse, version, frame[2 * SIZE_BYTES :]).api_keys == rows


def test_an_api_versions_request_of_an_unknown_version_has_a_readable_header() -> None:
    """So that it can be answered: in version 0, with error 35."""
    known = bytearray(encode_request(ApiVersionsRequest(client_software_name="x"), 4, 3, "me")[SIZE_BYTES:])
    known[2:4] = b"\x00\x63"
    header = decode_request_header(known)
    assert (header.version, header.correlation_id, header.client_id) == (99, 3, "me")
    frame = joined(encode_response(ApiVersionsResponse(error_code=35), 0, header.correlation_id))
    assert frame.hex() == "0000000a" + "00000003" + "0023" + "00000000"


def test_a_cached_answer_is_given_another_correlation_id() -> None:
    """What is the same for everyone is encoded once."""
    first, second = (joined(encode_response(ApiVersionsResponse(), 4, at)) for at in (1, 2))
    assert with_correlation_id(first, 2) == second
