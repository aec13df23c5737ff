"""Memory over all connections: queued.max.request.bytes."""

import time
from pathlib import Path

from broker.server.in_flight import STALL_SECONDS, InFlight
from broker.wire.frame import encode_request
from broker.wire.messages.metadata import MetadataRequest, MetadataResponse
from tests.broker.server.test_connections import create, produce, produce_request
from tests.servers.broker_process import running_broker
from tests.servers.raw_client import RawClient


class Holding:
    """A connection, as far as room in memory is concerned."""

    def __init__(self, in_flight: InFlight, *, last_active: float = 0.0) -> None:
        self.in_flight = in_flight
        self.last_active = last_active
        self.granted = False
        self.closed_because: str | None = None

    def take(self, size: int) -> bool:
        self.granted = self.in_flight.take(self, size, self._grant)
        return self.granted

    def close(self, reason: str | None) -> None:
        self.closed_because = reason
        self.in_flight.give_back(self)

    def _grant(self) -> None:
        self.granted = True


def test_room_is_given_in_the_order_in_which_it_was_asked_for() -> None:
    """A small frame does not overtake a large one again and again."""
    in_flight = InFlight(100)
    first, large, small = (Holding(in_flight) for _ in range(3))
    assert first.take(60)
    assert not large.take(90)
    assert not small.take(10)
    in_flight.give_back(first)
    assert large.granted
    assert small.granted
    assert in_flight.received == 100


def test_a_frame_larger_than_all_the_room_waits_for_all_of_it() -> None:
    """socket.request.max.bytes may be above the limit; one such frame at a time."""
    in_flight = InFlight(100)
    first, larger = Holding(in_flight), Holding(in_flight)
    assert first.take(1)
    assert not larger.take(500)
    in_flight.give_back(first)
    assert larger.granted
    assert in_flight.received == 100
    in_flight.give_back(larger)
    assert in_flight.received == 0


def test_who_stops_waiting_is_passed_over() -> None:
    """Its connection has closed."""
    in_flight = InFlight(100)
    first, gone, last = (Holding(in_flight) for _ in range(3))
    first.take(100)
    gone.take(50)
    last.take(50)
    in_flight.give_back(gone)
    in_flight.give_back(first)
    assert not gone.granted
    assert last.granted


def test_who_stalls_is_closed_when_others_wait_and_only_then() -> None:
    """A client that announced a large frame and sends nothing keeps nobody from sending theirs."""
    in_flight = InFlight(100)
    stalled, busy, waiting = Holding(in_flight), Holding(in_flight, last_active=STALL_SECONDS), Holding(in_flight)
    stalled.take(50)
    busy.take(50)
    assert not in_flight.close_stalled(STALL_SECONDS)
    assert stalled.closed_because is None
    waiting.take(50)
    assert not in_flight.close_stalled(STALL_SECONDS)
    assert "queued.max.request.bytes" in (stalled.closed_because or "")
    assert busy.closed_because is None
    assert waiting.granted


def test_large_requests_wait_for_room_and_all_of_them_are_served(tmp_path: Path) -> None:
    """Eight clients send 700 KB each into room for one; small requests are answered meanwhile."""
    with (
        running_broker(tmp_path / "data", "--set", "queued.max.request.bytes=1000000") as broker,
        RawClient(broker.host, broker.port) as small,
    ):
        create(small, "t")
        frame = encode_request(produce_request("t", b"x" * 700_000), 9, 1, "large")
        clients = [RawClient(broker.host, broker.port) for _ in range(8)]
        for client in clients:
            client.socket.sendall(frame[:100_000])
        time.sleep(0.1)
        for _ in range(20):
            small.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
        for client in clients[:4]:
            client.socket.sendall(frame[100_000:300_000])
        # One that leaves gives its room, or its place in the queue, to the others.
        clients.pop(0).close()
        for client in clients:
            sent = 300_000 if client in clients[:3] else 100_000
            client.socket.sendall(frame[sent:])
        for client in clients:
            client.receive_frame()
            client.close()
        assert produce(small, "t", b"y") == 7


def test_unsent_answers_stop_only_those_who_do_not_read_theirs(tmp_path: Path) -> None:
    """Thousands of answers to somebody who reads late all arrive; the others are answered at once."""
    with (
        running_broker(tmp_path / "data", "--set", "queued.max.request.bytes=20000") as broker,
        RawClient(broker.host, broker.port) as other,
        RawClient(broker.host, broker.port, receive_buffer=4096) as late,
    ):
        for number in range(20):
            create(other, f"topic-number-{number}")
        late.socket.settimeout(0.2)
        sent = 0
        try:
            while sent < 3000:
                late.send(MetadataRequest(topics=None), MetadataResponse.api.highest)
                sent += 1
        except TimeoutError:
            # The broker reads no more, which is what should happen; the last request is cut.
            pass
        began = time.monotonic()
        for _ in range(50):
            other.ask(MetadataRequest(topics=None), MetadataResponse, 12)
        assert time.monotonic() - began < 30
        late.socket.settimeout(10)
        for _ in range(min(sent, 1000)):
            late.receive_frame()
