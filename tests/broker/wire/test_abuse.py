"""Damaged frames of real clients against a real broker: refused or answered, and nobody else notices."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.errors import ProtocolError
from broker.server.workers import WORKERS
from broker.wire.frame import decode_request
from broker.wire.headers import decode_request_header
from broker.wire.messages.metadata import MetadataRequest, MetadataResponse
from tests.broker.wire.abuse import LIMITS, Mutator, Verdicts, abuse, answers, vitals, volley
from tests.broker.wire.captures import captured
from tests.servers.broker_process import BrokerProcess, running_broker
from tests.servers.raw_client import RawClient

FRAMES = 3_000
MEMORY_MIB_MAX = 16


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker with low limits, that strangers may fill."""
    arguments = [each for limit in LIMITS for each in ("--set", limit)]
    with running_broker(tmp_path_factory.mktemp("victim") / "data", *arguments) as broker:
        yield broker


def failures(broker: BrokerProcess) -> list[str]:
    """What the broker has to blame itself for."""
    return [line for line in broker.log.splitlines() if "request failed" in line or "Traceback" in line]


def test_the_captures_are_frames_of_four_clients() -> None:
    """Every one of them is read as a request, of twenty APIs and more."""
    frames = captured()
    assert frames.keys() == {"aiokafka", "confluent-kafka", "kafka-python", "kcat"}
    apis = set()
    for frame in (frame for client in frames.values() for frame in client):
        header = decode_request_header(memoryview(frame))
        decode_request(header, memoryview(frame))
        apis.add(header.api.key)
    assert len(apis) >= 20


def test_thousands_of_damaged_frames_cost_the_broker_nothing(victim: BrokerProcess) -> None:
    """No crash, no failure of its own, no leak; a neighbour's connection goes on, and a real client is served."""
    abuse(victim.host, victim.port, FRAMES // 3, seed=1)
    before = vitals(victim.pid)
    with RawClient(victim.host, victim.port) as neighbour:
        verdicts = abuse(victim.host, victim.port, FRAMES, seed=2)
        neighbour.ask(MetadataRequest(topics=[]), MetadataResponse, 12)
    assert verdicts.total >= FRAMES
    assert failures(victim) == []
    end = time.monotonic() + 10
    while vitals(victim.pid).sockets > before.sockets and time.monotonic() < end:
        time.sleep(0.05)
    after = vitals(victim.pid)
    assert after.sockets <= before.sockets
    # The workers start with the first work.
    assert after.threads <= 1 + WORKERS
    assert after.resident_mib - before.resident_mib < MEMORY_MIB_MAX
    assert answers(victim)


def test_a_broker_that_fails_at_a_frame_is_noticed(tmp_path: Path) -> None:
    """The teeth: a handler that raises for some requests shows in the log that is looked at."""
    log = tmp_path / "data.log"
    log.write_text("INFO broker.dispatch request failed peer=127.0.0.1:1 api=FETCH version=4\n", encoding="utf-8")
    assert failures(BrokerProcess(tmp_path / "data"))


def test_damage_is_repeated_by_its_seed() -> None:
    """A run that found something can be made again."""
    first, second = Mutator(5), Mutator(5)
    assert [first.frame() for _ in range(200)] == [second.frame() for _ in range(200)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_change_of_a_captured_frame_is_refused_or_answered(victim: BrokerProcess, data: st.DataObject) -> None:
    """Hypothesis cuts and splices; the broker is alive behind each, and had nothing to blame itself for."""
    frame = bytearray(data.draw(st.sampled_from([each for frames in captured().values() for each in frames])))
    at = data.draw(st.integers(0, len(frame)))
    frame[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=12))
    verdicts = Verdicts()
    volley(victim.host, victim.port, [len(frame).to_bytes(4, "big") + bytes(frame)], verdicts)
    assert verdicts.total + verdicts.waiting == 1
    assert failures(victim) == []


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_any_change_of_a_captured_frame_is_a_request_or_a_protocol_error(data: st.DataObject) -> None:
    """In the decoder alone: nothing else ever comes out of it."""
    frame = bytearray(data.draw(st.sampled_from([each for frames in captured().values() for each in frames])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame)))
        frame[at : at + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=12))
    view = memoryview(bytes(frame))
    with contextlib.suppress(ProtocolError):
        decode_request(decode_request_header(view), view)
