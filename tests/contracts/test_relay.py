from collections.abc import AsyncIterator, Iterator

import pytest

from eventbus.testing.contracts.relay import RelayContract
from eventbus.transport import KafkaTransport
from tests.servers.broker_process import BrokerProcess, running_broker


class TestRelayToALogInMemory(RelayContract):
    """From SQLite and from PostgreSQL."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with running_broker(tmp_path_factory.mktemp("relay") / "broker") as broker:
        yield broker


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestRelayToTheEmbeddedBroker(RelayContract):
    """From SQLite."""

    @pytest.fixture
    async def transport(self, log: BrokerProcess) -> AsyncIterator[KafkaTransport]:
        transport = KafkaTransport(log.bootstrap)
        await transport.start()
        yield transport
        await transport.aclose()
