"""
The pytest plugin of eventbus: the fixture `event_bus`. It is loaded in every run, so it imports nothing until it is
asked for.
"""

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from eventbus.testing.event_bus import RunningEventBus


def pytest_configure(config: pytest.Config) -> None:
    """pytest's filters replace those of `eventbus.transport.kafka.group_assignment`, which says why."""
    config.addinivalue_line("filterwarnings", r"ignore:list_groups\(\) is deprecated:DeprecationWarning")


@pytest.fixture(scope="session")
def event_bus_broker(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """`HOST:PORT` of an embedded broker that all tests of the run share; it is started by the first that asks."""
    from anyio.from_thread import start_blocking_portal

    from eventbus.embedded import SharedBroker

    directory = tmp_path_factory.mktemp("event_bus_broker")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(SharedBroker(directory)) as broker,
    ):
        yield broker.address


@pytest.fixture
def event_bus(event_bus_broker: str, tmp_path: Path) -> "RunningEventBus":
    """Runs whole applications on a real broker and SQLite for the time of the test: `await event_bus.start(app)`."""
    from eventbus.testing.event_bus import RunningEventBus

    return RunningEventBus(event_bus_broker, tmp_path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """What a coroutine test has started is stopped at its end: on its loop, which a fixture's end may not see."""
    if isinstance(item, pytest.Function) and "event_bus" in item.fixturenames:
        from eventbus.testing.event_bus import closing

        item.obj = closing(item.obj, item.funcargs["event_bus"])
    return (yield)
