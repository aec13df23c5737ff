"""The embedded broker is killed under load; commands go on, and everything arrives when it is back."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.driver import Crash, Service

RETURNS_SECONDS_MAX = 30.0


@pytest.fixture
def crash(tmp_path: Path, seed: int) -> Iterator[Crash]:
    """On the embedded broker: nodes of a cluster are killed in tests/samples/test_failover.py."""
    crash = Crash(tmp_path, f"sqlite:///{tmp_path}/accounts.sqlite3", seed)
    with crash.kept():
        yield crash


def broker_pid(crash: Crash) -> int | None:
    """The process that the ready file names; None while one is starting."""
    try:
        pid: int = json.loads((crash.directory / "broker.json").read_text())["pid"]
    except FileNotFoundError:
        return None
    return pid


def kill_broker(crash: Crash, service: Service) -> float:
    """SIGKILL, and load until another process serves; the seconds that this took."""
    pid = broker_pid(crash)
    assert pid is not None, f"no broker serves:\n{crash.words}"
    crash.note(f"broker pid {pid}")
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    acknowledged = len(crash.told.acknowledged)
    while broker_pid(crash) in {pid, None}:
        assert time.monotonic() - began < RETURNS_SECONDS_MAX, f"no new broker:\n{crash.words}"
        service.feed(0.05, burst_max=10)
    seconds = time.monotonic() - began
    service.await_receipts()
    assert len(crash.told.acknowledged) > acknowledged, "no command was acknowledged while the broker was away"
    return seconds


def test_commands_go_on_without_the_broker_and_arrive_with_it(crash: Crash) -> None:
    """Ten brokers are killed at any moment under load; the service starts each one's successor."""
    with crash.service() as service:
        service.await_ready()
        for _ in range(crash.cycles):
            service.feed(crash.random.uniform(0.1, 0.5), burst_max=10)
            kill_broker(crash, service)
        crash.assert_sound_at_rest()
        service.stop()
    assert len(crash.kills()) == crash.cycles


def test_a_service_and_its_broker_are_killed_together(crash: Crash) -> None:
    """As after a power cut that spares the disk: the next start finds everything, and goes on."""
    for _ in range(crash.cycles):
        with crash.service() as service:
            service.await_ready()
            service.feed(crash.random.uniform(0, 0.4))
            pid = broker_pid(crash)
            assert pid is not None, crash.words
            crash.note(f"broker pid {pid}")
            os.kill(pid, signal.SIGKILL)
            service.kill()
        crash.doubt()
    with crash.service() as service:
        service.await_receipts()
        crash.assert_sound_at_rest()
        service.stop()
    assert len(crash.kills()) == 2 * crash.cycles
