import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eventbus.embedded import SharedBroker, joined
from eventbus.errors import BrokerUnavailable, InvalidConfiguration

ROOT = Path(__file__).parents[3]


class Service:
    """A process that has joined an embedded broker, and what it said."""

    def __init__(self, directory: str, name: str, cwd: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.eventbus.embedded.service", directory, name],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            # A process group of its own, as a shell gives each job, so that a test can press Ctrl-C.
            process_group=0,
        )
        self._said: dict[str, str | int] | None = None

    @property
    def said(self) -> dict[str, str | int]:
        if self._said is None:
            assert self.process.stdout is not None
            line = self.process.stdout.readline()
            assert line, "the service ended before it had joined"
            self._said = json.loads(line)
        assert self._said is not None
        return self._said

    @property
    def broker(self) -> int:
        return int(self.said["broker"])

    @property
    def address(self) -> str:
        return str(self.said["address"])

    def interrupt(self) -> None:
        """Ctrl-C: the terminal signals the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(10)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


Start = Callable[..., Service]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    services: list[Service] = []

    def begin(name: str = "orders", directory: str | None = None, cwd: Path = ROOT) -> Service:
        services.append(Service(directory or str(tmp_path / "state"), name, cwd))
        return services[-1]

    yield begin
    for service in services:
        service.kill()
    pid = current_pid(tmp_path / "state")
    if pid is not None:
        wait_until(lambda: not is_alive(pid), "the broker has ended with its last user")


def is_alive(pid: int) -> bool:
    try:
        if sys.platform != "linux":
            os.kill(pid, 0)
            return True
        # A zombie is no broker, though its parent has not asked for it yet.
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def accepts(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        with socket.create_connection((host, int(port)), 1):
            return True
    except OSError:
        return False


def current_pid(directory: Path) -> int | None:
    try:
        return int(json.loads((directory / "broker.json").read_text())["pid"])
    except (FileNotFoundError, ValueError):
        return None


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def test_services_of_one_directory_share_one_broker_and_the_last_one_ends_it(start: Start, tmp_path: Path) -> None:
    """Two services that start at the same moment find one process, and it goes when both have gone."""
    first, second = start("orders"), start("payments")
    assert (first.broker, first.address) == (second.broker, second.address)
    first.kill()
    time.sleep(0.3)
    assert is_alive(second.broker)
    assert accepts(second.address)
    second.interrupt()
    wait_until(lambda: not is_alive(second.broker), "the broker ends with its last user")


def test_many_services_that_start_at_once_start_one_broker(start: Start) -> None:
    """Whoever gets the lock starts it, the others find it."""
    services = [start(f"service{number}") for number in range(5)]
    assert len({service.broker for service in services}) == 1


def test_ctrl_c_in_the_starter_leaves_the_broker_to_the_others(start: Start) -> None:
    """The broker has a session of its own."""
    starter = start("orders")
    assert starter.said
    other = start("payments")
    assert other.broker == starter.broker
    starter.interrupt()
    time.sleep(0.3)
    assert is_alive(other.broker)
    assert accepts(other.address)


def test_the_starters_sigkill_leaves_the_broker_to_the_others(start: Start) -> None:
    """Nothing of the broker hangs on the process that started it."""
    starter = start("orders")
    assert starter.said
    other = start("payments")
    assert other.broker == starter.broker
    starter.kill()
    time.sleep(0.3)
    assert is_alive(other.broker)
    assert accepts(other.address)


def test_a_killed_broker_is_started_again_on_its_port(start: Start, tmp_path: Path) -> None:
    """Both services live: one of them starts it, exactly one process serves, at the same address."""
    first, second = start("orders"), start("payments")
    assert first.broker == second.broker
    os.kill(first.broker, signal.SIGKILL)
    state = tmp_path / "state"
    wait_until(
        lambda: current_pid(state) not in {None, first.broker} and accepts(first.address), "another process serves"
    )
    again = current_pid(state)
    assert again is not None
    # The starter of the first one may be either of them; the other one must do it as well.
    first.kill()
    os.kill(again, signal.SIGKILL)
    wait_until(lambda: current_pid(state) not in {None, again} and accepts(second.address), "a third one serves")


def test_the_port_is_kept_from_start_to_start(start: Start) -> None:
    """A directory that nobody used in between has the same address again."""
    first = start("orders")
    address, broker = first.address, first.broker
    first.interrupt()
    wait_until(lambda: not is_alive(broker), "the broker ends")
    again = start("orders")
    assert again.address == address
    assert again.broker != broker


def test_a_newcomer_that_meets_a_stopping_broker_waits_and_starts_another(start: Start) -> None:
    """A service that starts the moment the last one has gone gets a broker that stays."""
    for _ in range(3):
        service = start("orders")
        assert service.said
        service.kill()
    newcomer = start("orders")
    time.sleep(0.5)
    assert is_alive(newcomer.broker)
    assert accepts(newcomer.address)


def test_a_relative_directory_is_that_of_the_working_directory(start: Start, tmp_path: Path) -> None:
    """From two working directories `embedded:./state` means two brokers, and the absolute path means the first."""
    here, there = tmp_path, tmp_path / "elsewhere"
    there.mkdir()
    first, second = start("orders", "./state", here), start("orders", "./state", there)
    same = start("payments", str(here / "state"), there)
    assert first.broker == same.broker
    assert first.broker != second.broker
    assert first.address != second.address
    second.kill()
    wait_until(lambda: not is_alive(second.broker), "the second broker ends")


def test_a_killed_service_comes_back_under_its_name(start: Start) -> None:
    """Instance ids are leased from 1 on, and a killed process' id is free at once."""
    first, second = start("orders"), None
    assert first.said["id"] == "orders-1"
    second = start("orders")
    assert second.said["id"] == "orders-2"
    first.kill()
    assert start("orders").said["id"] == "orders-1"


@pytest.mark.anyio
async def test_leaving_leaves_no_thread_and_no_broker(tmp_path: Path) -> None:
    """After the block nothing runs on."""
    async with joined(tmp_path / "state", "orders") as member:
        pid = member.broker_pid
        assert accepts(member.address)
    wait_until(lambda: not is_alive(pid), "the broker ends")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("eventbus")]


@pytest.mark.anyio
async def test_a_directory_that_cannot_be_used_is_said_with_the_variables_name(tmp_path: Path) -> None:
    """A file in the directory's place."""
    (tmp_path / "state").write_text("a file")
    with pytest.raises(InvalidConfiguration, match="EVENTBUS_BROKER_URL"):
        await SharedBroker(tmp_path / "state").start()


@pytest.mark.anyio
async def test_a_taken_port_is_said_with_the_brokers_words(tmp_path: Path) -> None:
    """The kept port belongs to a stranger: refused, with the file that keeps it."""
    state = tmp_path / "state"
    state.mkdir()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        (state / "broker.port").write_text(str(stranger.getsockname()[1]))
        with pytest.raises(BrokerUnavailable, match=r"broker\.port"):
            await SharedBroker(state).start()
