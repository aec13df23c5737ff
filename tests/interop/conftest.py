"""One broker for all clients of other languages."""

from collections.abc import Iterator

import pytest

from tests.servers.broker_process import BrokerProcess, running_broker


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with running_broker(tmp_path_factory.mktemp("interop") / "data") as process:
        yield process
