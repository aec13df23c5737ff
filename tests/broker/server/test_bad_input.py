"""What strangers send: the connection is closed with one log line, and nobody else notices."""

import os
import struct

import pytest

from broker.errors import ErrorCode
from broker.wire.messages.api_versions import ApiVersionsRequest, ApiVersionsResponse
from broker.wire.messages.metadata import MetadataRequest, MetadataResponse
from tests.servers.broker_process import BrokerProcess
from tests.servers.raw_client import RawClient


def frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


def header(key: int, version: int, client: bytes = b"x") -> bytes:
    return struct.pack(">hhih", key, version, 1, len(client)) + client


BAD_FRAMES = {
    "garbage": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "socket.request.max.bytes"),
    "negative size": (struct.pack(">i", -5), "-5 bytes"),
    "above the limit": (struct.pack(">i", 2**31 - 1), "2147483647 bytes"),
    "empty": (frame(b""), "request header"),
    "unknown key": (frame(header(999, 0)), "999"),
    "key that is declared and not served": (frame(header(17, 0) + b"\x00\x05PLAIN"), "SaslHandshake"),
    "version below": (frame(header(0, 2)), "Produce"),
    "version above": (frame(header(3, 99) + b"\x00"), "Metadata"),
    "body cut short": (frame(header(3, 4) + b"\x00\x00"), "MetadataRequest"),
    "array without end": (frame(header(3, 4) + struct.pack(">i", 2**31 - 1)), "MetadataRequest"),
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
def test_a_bad_frame_closes_its_connection_with_one_log_line_and_disturbs_nobody(
    broker: BrokerProcess, kind: str
) -> None:
    """The line has the peer and the reason; a neighbour's connection goes on."""
    sent, reason = BAD_FRAMES[kind]
    with RawClient(broker.host, broker.port) as neighbour, RawClient(broker.host, broker.port) as bad:
        lines_before = len(broker.log.splitlines())
        peer = f"peer=127.0.0.1:{bad.socket.getsockname()[1]} "
        bad.socket.sendall(sent)
        assert bad.is_closed()
        neighbour.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
        lines = [line for line in broker.log.splitlines()[lines_before:] if peer in line]
    assert len(lines) == 1
    assert reason in lines[0]


def test_an_api_versions_request_of_an_unknown_version_is_answered_as_v0(broker: BrokerProcess) -> None:
    """UNSUPPORTED_VERSION and the table, so that the client can come down."""
    with RawClient(broker.host, broker.port) as client:
        client.send_frame(header(18, 99) + b"\x00whatever")
        _, answer = client.receive(ApiVersionsResponse, 0)
        assert answer.error_code == ErrorCode.UNSUPPORTED_VERSION
        assert answer.api_keys
        client.ask(ApiVersionsRequest(client_software_name="a", client_software_version="1"), ApiVersionsResponse, 3)


def test_a_client_that_does_not_introduce_itself_well_is_refused(broker: BrokerProcess) -> None:
    """KIP-511: INVALID_REQUEST for a name that could break a log or a metric."""
    with RawClient(broker.host, broker.port) as client:
        request = ApiVersionsRequest(client_software_name="a b\n", client_software_version="1")
        assert client.ask(request, ApiVersionsResponse, 3).error_code == ErrorCode.INVALID_REQUEST


def test_thousands_of_garbled_requests_leave_the_broker_as_it_was(broker: BrokerProcess) -> None:
    """Random bytes behind real headers: each connection ends or is answered; the broker stays small and alive."""
    noise = os.urandom(4096)
    with RawClient(broker.host, broker.port) as neighbour:
        for number in range(300):
            with RawClient(broker.host, broker.port) as client:
                key, version = (number * 7) % 76, number % 14
                at = number * 13 % 3000
                client.socket.sendall(frame(header(key, version) + noise[at : at + number]))
        neighbour.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
    assert "request failed" not in broker.log
