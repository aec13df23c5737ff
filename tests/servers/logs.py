"""
The session's logs, each started by the first test that asks for one, and shared by all.

`log` is what a test of the framework runs on: the embedded broker, and again (marker interop) a cluster of three
nodes of Apache Kafka. With the marker `kills_the_log` that cluster has one node, which is back in seconds.
tests/conftest.py takes the fixtures in, once for all folders.
"""

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.interop.toolchain import kafka_jars
from tests.servers.broker_process import BrokerProcess, running_broker
from tests.servers.kafka_server import KafkaCluster, running_kafka
from tests.servers.postgres import PostgresServer

__all__ = ["embedded_log", "empty_log_url", "kafka_cluster", "log", "log_kind", "module_settings", "service_settings"]

Clusters = Callable[[int], KafkaCluster]
"""Given how many nodes, the session's cluster of that size, whole: whatever a test has killed or frozen is back."""


# Members of KIP-848's groups are told of a change at their next heartbeat: five seconds, unless less is allowed.
QUICK_GROUPS = {
    "group.consumer.min.heartbeat.interval.ms": "200",
    "group.consumer.heartbeat.interval.ms": "200",
    "group.consumer.min.session.timeout.ms": "3000",
    "group.consumer.session.timeout.ms": "3000",
}


# Groups of the classic protocol may have sessions of less than six seconds, so that a test need not wait for them.
QUICK_SESSIONS = {"group.min.session.timeout.ms": "1000"}


# Node N is in rack-N, and readers may say which rack they are in.
RACKS = {
    "broker.rack": "rack-{node}",
    "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector",
}


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

    def replace(self) -> object:
        """Kills it and loses all that was in it: what answers at its address then is another log."""
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

    def replace(self) -> None:
        self.kill()
        shutil.rmtree(self._process.data_dir)
        self.start()


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

    def replace(self) -> None:
        self._cluster.replace()


@pytest.fixture(scope="session")
def kafka_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """`kafka_cluster(3)` or `kafka_cluster(1)`: that many nodes of Apache Kafka."""
    clusters: dict[int, KafkaCluster] = {}
    with ExitStack() as running:

        def cluster(nodes: int) -> KafkaCluster:
            if nodes not in clusters:
                folder = tmp_path_factory.mktemp("kafka") / "cluster"
                kafka = running_kafka(
                    kafka_jars(), folder, nodes=nodes, properties={**QUICK_GROUPS, **QUICK_SESSIONS, **RACKS}
                )
                clusters[nodes] = running.enter_context(kafka)
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
        return ClusterLog(clusters(1 if request.node.get_closest_marker("kills_the_log") else 3))
    process: BrokerProcess = request.getfixturevalue("embedded_log")
    return EmbeddedLog(process if process.is_running else process.start())


@pytest.fixture
def empty_log_url(log_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """
    What EVENTBUS_BROKER_URL is set to for services that have fixed names for their topics: a directory of the test's
    own, or the cluster without any topic of the tests before.
    """
    if log_kind == "embedded":
        return f"embedded:{tmp_path}/state"
    clusters: Clusters = request.getfixturevalue("kafka_cluster")
    cluster = clusters(3)
    delete_topics(cluster.bootstrap)
    return cluster.url


@pytest.fixture
def service_settings(log_kind: str, empty_log_url: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment of a service: the embedded broker with SQLite beside it, or Apache Kafka and PostgreSQL."""
    settings = {"EVENTBUS_BROKER_URL": empty_log_url}
    if log_kind == "kafka":
        settings["EVENTBUS_DATABASE_URL"] = request.getfixturevalue("empty_postgres_url")
    return settings


@pytest.fixture(scope="module")
def module_settings(
    log_kind: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, str]:
    """The same, once for all tests of a module."""
    if log_kind == "embedded":
        return {"EVENTBUS_BROKER_URL": f"embedded:{tmp_path_factory.mktemp('module')}/state"}
    clusters: Clusters = request.getfixturevalue("kafka_cluster")
    postgres: PostgresServer = request.getfixturevalue("postgres")
    cluster = clusters(3)
    delete_topics(cluster.bootstrap)
    return {
        "EVENTBUS_BROKER_URL": cluster.url,
        "EVENTBUS_DATABASE_URL": postgres.url(postgres.create_database()),
    }


def delete_topics(bootstrap: str, chosen: Collection[str] | None = None) -> None:
    """All but Kafka's own, or those that are given; returns when no client is told of them any more."""
    admin = AdminClient({"bootstrap.servers": bootstrap})

    def is_to_go(name: str) -> bool:
        return not name.startswith("__") if chosen is None else name in chosen

    while names := [name for name in admin.list_topics(timeout=20).topics if is_to_go(name)]:
        for deleted in admin.delete_topics(names).values():
            try:
                deleted.result(20)
            except KafkaException:
                continue  # it was on its way
