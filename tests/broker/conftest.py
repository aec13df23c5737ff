"""One real broker for every test that does not have to stop it."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.servers.broker_process import BrokerProcess, running_broker

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """Runs for the whole session: tests use topics and groups of their own."""
    with running_broker(tmp_path_factory.mktemp("broker") / "data") as running:
        yield running


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> str:
    """A topic name that no other test uses."""
    return f"{request.node.originalname[:180]}.{next(_NUMBERS)}".replace("_", "-")
