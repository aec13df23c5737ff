"""Both sample services as running processes over one log, started once for the module that asks for them."""

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from samples.demo.processes import Service
from tests.servers.logs import Clusters, delete_topics
from tests.servers.postgres import PostgresServer


@dataclass
class Samples:
    orders: Service
    payments: Service
    directory: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_samples(directory: Path, orders: Mapping[str, str], payments: Mapping[str, str]) -> Samples:
    """Not started yet; a service's settings as its environment."""
    return Samples(
        Service("order-service", "order_service", free_port(), orders, directory / "order.log"),
        Service("payment-service", "payment_service", free_port(), payments, directory / "payment.log"),
        directory,
    )


@pytest.fixture(scope="module")
def samples(
    log_kind: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Samples]:
    """On the embedded broker with SQLite, and on Apache Kafka with PostgreSQL."""
    directory = tmp_path_factory.mktemp("samples")
    embedded = {"EVENTBUS_BROKER_URL": f"embedded:{directory}"}
    settings = [embedded, embedded]
    if log_kind == "kafka":
        clusters: Clusters = request.getfixturevalue("kafka_cluster")
        postgres: PostgresServer = request.getfixturevalue("postgres")
        cluster = clusters(3)
        delete_topics(cluster.bootstrap)
        settings = [
            {
                "EVENTBUS_BROKER_URL": cluster.url,
                "EVENTBUS_DATABASE_URL": postgres.url(postgres.create_database()),
            }
            for _ in settings
        ]
    running = make_samples(directory, *settings)
    running.orders.start()
    running.payments.start()
    try:
        running.orders.await_ready()
        running.payments.await_ready()
        yield running
    finally:
        running.orders.kill()
        running.payments.kill()


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Says a figure, whether the test passes or not."""

    def say(words: str) -> None:
        with capsys.disabled():
            print(f"\n  {words}")  # noqa: T201

    return say
