import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest

from eventbus.embedded import SharedBroker
from eventbus.transport import KafkaTransport
from tests.eventbus.delivery.log import pay

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    state.mkdir()
    return state


@pytest.fixture
async def transport(log_kind: str, empty_log_url: str) -> AsyncIterator[KafkaTransport]:
    """To the log that the services use, which stays when they go."""
    async with AsyncExitStack() as stack:
        address = empty_log_url.removeprefix("kafka://")
        if log_kind == "embedded":
            directory = Path(empty_log_url.removeprefix("embedded:"))
            address = (await stack.enter_async_context(SharedBroker(directory))).address
        transport = KafkaTransport(address)
        await transport.start()
        yield transport
        await transport.aclose()


@pytest.fixture
def start(state: Path, empty_log_url: str) -> Iterator[Callable[[float], "subprocess.Popen[bytes]"]]:
    services: list[subprocess.Popen[bytes]] = []

    def begin(seconds: float) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tests.eventbus.delivery.killable", empty_log_url, str(state), str(seconds)]
        services.append(subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}))
        return services[-1]

    yield begin
    for service in services:
        service.kill()
        service.wait(10)


def effects(state: Path) -> list[int]:
    try:
        with sqlite3.connect(f"file:{state}/shop.sqlite3?mode=ro", uri=True) as connection:
            found = [number for (number,) in connection.execute("SELECT number FROM effects ORDER BY position")]
        connection.close()
    except sqlite3.OperationalError:
        return []
    return found


async def until_effects(state: Path, count: int, seconds: float = 60) -> None:
    with anyio.fail_after(seconds):
        while len(effects(state)) < count:
            await anyio.sleep(0.02)


async def test_a_killed_service_handles_again_before_its_session_ends_and_repeats_nothing(
    start: Callable[[float], "subprocess.Popen[bytes]"], state: Path, transport: KafkaTransport, log_kind: str
) -> None:
    """SIGKILL in the middle of a batch, again and again: the next process goes on at the checkpoint, at once."""
    await transport.ensure_topics({"payments": 12})
    await pay(transport, "payments", range(5000))
    service = start(0.001)
    await until_effects(state, 20)
    seconds: list[float] = []
    for _ in range(5 if log_kind == "embedded" else 2):
        service.kill()
        service.wait(10)
        before = len(effects(state))
        began = time.monotonic()
        service = start(0.001)
        await until_effects(state, before + 1)
        seconds.append(time.monotonic() - began)
    # Without a name in the group each would wait for the session of the one that was killed: 10 s. It takes 1 s,
    # on a machine that has nothing else to do.
    assert min(seconds) < 8.0
    service.kill()
    service.wait(10)
    service = start(0.0)
    await until_effects(state, 5000, 60)
    assert sorted(effects(state)) == list(range(5000))
