"""The commands of `broker` on an Apache Kafka: they are for any Kafka-protocol address."""

from collections.abc import Iterator
from threading import Event, Timer
from uuid import uuid4

import pytest

from broker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from tests.broker.cli.commands import Commands, CommandsContract
from tests.interop.toolchain import kafka_jars
from tests.servers.kafka_server import KafkaCluster, running_kafka
from tests.servers.logs import Clusters
from tests.servers.raw_client import RawClient

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_kafka(kafka_jars(), tmp_path_factory.mktemp("kafka") / "cluster") as cluster:
        yield cluster.bootstrap


class TestCommandsOnApacheKafka(CommandsContract):
    @pytest.fixture
    def bootstrap(self, kafka: str) -> str:
        return kafka


FROZEN = 3


def known_partitions(cluster: KafkaCluster, topic: str) -> dict[int, int]:
    """How many partitions with a leader each node names, asked one by one."""
    found: dict[int, int] = {}
    request = MetadataRequest(topics=[MetadataRequestTopic(name=topic)], allow_auto_topic_creation=False)
    for node in cluster.nodes:
        with RawClient(cluster.host, node.port) as client:
            (told,) = client.ask(request, MetadataResponse, 9).topics
        found[node.number] = sum(place.leader_id >= 0 for place in told.partitions)
    return found


@pytest.mark.timeout(240)
@pytest.mark.parametrize("is_new", [True, False], ids=["create", "add-partitions"])
def test_a_change_of_a_topic_returns_when_every_node_knows_it(
    kafka_cluster: Clusters,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    is_new: bool,
) -> None:
    """One of the three is frozen for a while: the command outlasts that, and each of them names the partitions then."""
    cluster = kafka_cluster(3)
    live = ",".join(f"{cluster.host}:{node.port}" for node in cluster.nodes if node.number != FROZEN)
    commands = Commands(live, capsys, monkeypatch)
    topic, is_thawed = f"spread-{uuid4().hex[:8]}", Event()
    change = ("topics create", topic, "--partitions") if is_new else ("topics add-partitions", topic)
    if not is_new:
        commands.done("topics create", topic, "--partitions", "1")

    def thaw() -> None:
        is_thawed.set()
        cluster.thaw(FROZEN)

    cluster.freeze(FROZEN)
    # Within its session (broker.session.timeout.ms): it goes on as one of the three.
    timer = Timer(1.0, thaw)
    timer.start()
    try:
        commands.done(*change, "6")
        was_thawed = is_thawed.is_set()
        known = known_partitions(cluster, topic)
    finally:
        timer.join()
    assert was_thawed
    assert known == {1: 6, 2: 6, 3: 6}
