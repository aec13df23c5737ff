"""The transactional producer's contract on Apache Kafka, which is killed and comes back where it was."""

from collections.abc import AsyncIterator, Iterator

import pytest

from eventbus.testing.contracts.transactional_producer import TransactionalProducerContract
from eventbus.testing.contracts.transport_absence import TransactionalProducerAbsenceContract
from eventbus.transport import KafkaTransport
from tests.interop.toolchain import kafka_jars
from tests.servers.kafka_server import KafkaCluster, running_kafka


class OneNode:
    """The cluster's only node, as the contract kills it and starts it again."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster

    def kill(self) -> None:
        self._cluster.nodes[0].kill()

    def start(self) -> None:
        """Returns when clients can connect."""
        if not self._cluster.nodes[0].is_running:
            self._cluster.nodes[0].start()
        self._cluster.resume()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaCluster]:
    with running_kafka(kafka_jars(), tmp_path_factory.mktemp("kafka") / "cluster") as cluster:
        yield cluster


@pytest.mark.interop
class TestTransactionsOnApacheKafka(TransactionalProducerContract, TransactionalProducerAbsenceContract):
    """The client lets records pass that the broker refuses."""

    pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]  # noqa: RUF012 (as pytest takes it)

    @pytest.fixture
    def log(self, kafka: KafkaCluster) -> OneNode:
        node = OneNode(kafka)
        node.start()
        return node

    @pytest.fixture
    async def transport(self, log: OneNode, kafka: KafkaCluster) -> AsyncIterator[KafkaTransport]:
        transport = KafkaTransport(kafka.bootstrap, {"message.max.bytes": "5000000"})
        await transport.start()
        yield transport
        await transport.aclose()
