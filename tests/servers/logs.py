"""
The session's logs, each started by the first test that asks for one, and shared by all.

`log` is what a test of the framework runs on: the embedded broker, and again (marker interop) a cluster of three
nodes of Apache Kafka. tests/conftest.py takes the fixtures in, once for all folders.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Protocol

import pytest

from tests.interop.toolchain import kafka_jars
from tests.servers.broker_process import BrokerProcess, running_broker
from tests.servers.kafka_server import KafkaCluster, running_kafka

__all__ = ["embedded_log", "kafka_cluster", "log", "log_kind"]

Clusters = Callable[[int], KafkaCluster]
"""Given how many nodes, the session's cluster of that size, whole: whatever a test has killed or frozen is back."""


class Log(Protocol):
    """A log that can go away and come back with all that was in it."""

    @property
    def bootstrap(self) -> str: ...
    @property
    def url(self) -> str:
        """What EVENTBUS_BROKER_URL is set to."""
        ...

    @property
    def topic_options(self) -> Mapping[str, str]:
        """What the framework sets on the topics that it creates there."""
        ...

    def kill(self) -> None:
        """SIGKILL to every process of it."""
        ...

    def start(self) -> object:
        """Returns when clients can use it."""
        ...


class EmbeddedLog:
    """One `broker serve`."""

    topic_options: Mapping[str, str] = {"flush.before.ack": "true"}

    def __init__(self, process: BrokerProcess) -> None:
        self._process = process
        self.kill, self.start = process.kill, process.start

    @property
    def bootstrap(self) -> str:
        return self._process.bootstrap

    @property
    def url(self) -> str:
        return f"kafka://{self.bootstrap}"


class ClusterLog:
    """All nodes of a cluster as one: none of them is there when it is away."""

    topic_options: Mapping[str, str] = {}

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self.bootstrap, self.url = cluster.bootstrap, cluster.url

    def kill(self) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._cluster.kill, [node.number for node in self._cluster.nodes]))

    def start(self) -> None:
        self._cluster.resume()


@pytest.fixture(scope="session")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """`kafka_cluster(3)` or `kafka_cluster(1)`: that many nodes of Apache Kafka."""
    clusters: dict[int, KafkaCluster] = {}
    with ExitStack() as running:

        def cluster(nodes: int) -> KafkaCluster:
            if nodes not in clusters:
                folder = tmp_path_factory.mktemp("kafka") / "cluster"
                clusters[nodes] = running.enter_context(running_kafka(kafka_jars(), folder, nodes=nodes))
            else:
                clusters[nodes].resume()
            return clusters[nodes]

        yield cluster


@pytest.fixture(scope="session")
def embedded_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """One `broker serve` for the session."""
    with running_broker(tmp_path_factory.mktemp("log") / "broker") as process:
        yield process


# The first test on the cluster waits for it to start.
ON_KAFKA = pytest.param("kafka", marks=[pytest.mark.interop, pytest.mark.timeout(240)])


@pytest.fixture(scope="session", params=["embedded", ON_KAFKA])
def log_kind(request: pytest.FixtureRequest) -> str:
    """`embedded` or `kafka`: whatever depends on it is made once for each."""
    kind: str = request.param
    return kind


@pytest.fixture
def log(log_kind: str, request: pytest.FixtureRequest) -> Log:
    """It runs, also when the test before has failed while it was away. Topics and groups need names of a test's own."""
    if log_kind == "kafka":
        clusters: Clusters = request.getfixturevalue("kafka_cluster")
        return ClusterLog(clusters(3))
    process: BrokerProcess = request.getfixturevalue("embedded_log")
    return EmbeddedLog(process if process.is_running else process.start())
