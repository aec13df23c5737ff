from collections.abc import AsyncIterator, Iterator

import pytest

from eventbus.testing.contracts.transactional_producer import TransactionalProducerContract
from eventbus.testing.contracts.transport import TransportContract
from eventbus.testing.contracts.transport_absence import TransactionalProducerAbsenceContract, TransportAbsenceContract
from eventbus.transport import KafkaTransport
from tests.servers.broker_process import BrokerProcess, running_broker


@pytest.fixture(scope="module")
def shared_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with running_broker(tmp_path_factory.mktemp("transport") / "broker") as broker:
        yield broker


@pytest.fixture
def log(shared_log: BrokerProcess) -> BrokerProcess:
    """It runs, also when the test before has failed while it was away."""
    return shared_log if shared_log.is_running else shared_log.start()


class TestKafkaTransportOnTheEmbeddedBroker(TransportContract, TransportAbsenceContract):
    """The transport over librdkafka, on `broker serve`."""

    @pytest.fixture
    async def transport(self, log: BrokerProcess) -> AsyncIterator[KafkaTransport]:
        transport = KafkaTransport(log.bootstrap, topic_options={"flush.before.ack": "true"})
        await transport.start()
        yield transport
        await transport.aclose()


class TestTransactionsOnTheEmbeddedBroker(TransactionalProducerContract, TransactionalProducerAbsenceContract):
    """The same, for writing in transactions; the client lets records pass that the broker refuses."""

    @pytest.fixture
    async def transport(self, log: BrokerProcess) -> AsyncIterator[KafkaTransport]:
        options = {"message.max.bytes": "5000000"}
        transport = KafkaTransport(log.bootstrap, options, topic_options={"flush.before.ack": "true"})
        await transport.start()
        yield transport
        await transport.aclose()
