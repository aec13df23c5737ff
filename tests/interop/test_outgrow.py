"""docs/how-to/outgrow-one-machine.md as it is written: the demo's data moves to three nodes of Kafka and PostgreSQL."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from eventbus.transport.kafka.administration import ClusterAdministration
from tests.interop.shop import NAMES, place, settled, started
from tests.servers.kafka_server import KafkaCluster
from tests.servers.logs import Clusters, delete_topics
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "outgrow-one-machine.md"
ORDERS = 30


@pytest.fixture
def cluster(kafka_cluster: Clusters) -> Iterator[KafkaCluster]:
    """Without the samples' topics, which other tests may have left there."""
    found = kafka_cluster(3)
    delete_topics(found.bootstrap, {"orders", "payments"})
    yield found
    delete_topics(found.bootstrap, {"orders", "payments"})


def test_the_demo_s_data_moves_and_the_services_go_on_where_they_were(
    tmp_path: Path, cluster: KafkaCluster, postgres: PostgresServer
) -> None:
    """Every command of the page; then the same views, new orders, no event handled a second time."""
    shop = tmp_path / "shop"
    shop.mkdir()
    embedded = {"EVENTBUS_BROKER_URL": f"embedded:{shop}"}
    databases = [postgres.create_database(name=f'"{name}"') for name in NAMES]
    orders, payments = started(tmp_path, dict.fromkeys(NAMES, embedded))
    try:
        place(orders, 0, ORDERS)
        before = settled(orders, ORDERS)
    finally:
        assert (orders.stop(), payments.stop()) == (0, 0)

    printed = _run_the_page(shop, cluster, postgres, tmp_path)
    assert len(re.findall(r"\b[0-9a-f]{32}\b", printed)) >= 10, "counts and checksums are printed"
    topics = ClusterAdministration(cluster.bootstrap, {}).topics(["orders", "payments"])
    assert {topic.replicas for topic in topics.values()} == {3}
    assert {topic.effective["min.insync.replicas"] for topic in topics.values()} == {"2"}

    orders, payments = started(
        tmp_path,
        {
            name: {"EVENTBUS_BROKER_URL": f"kafka://{cluster.bootstrap}", "EVENTBUS_DATABASE_URL": postgres.url(name)}
            for name in NAMES
        },
    )
    try:
        assert settled(orders, ORDERS) == before
        place(orders, ORDERS, 10)
        settled(orders, ORDERS + 10)
        paid = httpx.get(f"{payments.url}/payments", params={"limit": 1000}).json()
        assert len(paid) == ORDERS + 10
        handled = [httpx.get(f"{service.url}/status").json()["handled"] for service in (orders, payments)]
        assert handled == [10, 10], "an event of before was handled again, or one of now was not"
    finally:
        assert (orders.stop(), payments.stop()) == (0, 0)
        for name in databases:
            postgres.drop_database(name)


def _run_the_page(shop: Path, cluster: KafkaCluster, postgres: PostgresServer, directory: Path) -> str:
    """What the page's commands print, with this test's addresses in the place of the page's."""
    given = {
        "/var/lib/shop": str(shop),
        "kafka://k1:9092,k2:9092,k3:9092": f"kafka://{cluster.bootstrap}",
        "postgresql://shop@db/{service}": postgres.url("{service}"),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    printed = ""
    for script in re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        for word, value in given.items():
            script = script.replace(word, value)
        done = subprocess.run(
            ["sh", "-e", "-c", script], cwd=directory, env=environment, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        printed += done.stdout
    return printed
