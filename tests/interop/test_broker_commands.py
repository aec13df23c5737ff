"""The commands of `broker` on an Apache Kafka: they are for any Kafka-protocol address."""

from collections.abc import Iterator

import pytest

from tests.broker.cli.commands import CommandsContract
from tests.interop.toolchain import kafka_jars
from tests.servers.kafka_server import running_kafka

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_kafka(kafka_jars(), tmp_path_factory.mktemp("kafka") / "cluster") as cluster:
        yield cluster.bootstrap


class TestCommandsOnApacheKafka(CommandsContract):
    @pytest.fixture
    def bootstrap(self, kafka: str) -> str:
        return kafka
