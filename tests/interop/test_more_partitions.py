"""docs/how-to/outgrow-one-machine.md, "More partitions": what `topics apply` refuses, done in the way that it names."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from eventbus.transport.partitioning import partition_of
from samples.demo.checker import read_rows
from tests.crash.log_reader import headers_of, read_messages
from tests.interop.shop import NAMES, place, run_eventbus, settled, started
from tests.servers.kafka_server import KafkaCluster
from tests.servers.logs import Clusters, delete_topics
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "outgrow-one-machine.md"
TOPICS = {"orders", "orders-24", "payments"}
ORDERS = 20


@pytest.fixture
def cluster(kafka_cluster: Clusters) -> Iterator[KafkaCluster]:
    """Without the samples' topics, which other tests may have left there."""
    found = kafka_cluster(3)
    delete_topics(found.bootstrap, TOPICS)
    yield found
    delete_topics(found.bootstrap, TOPICS)


def _renamed(directory: Path) -> Path:
    """The services' code with the new name of the topic: what a developer changes."""
    for name in NAMES:
        package = name.replace("-", "_")
        shutil.copytree(ROOT / "samples" / name / package, directory / package)
        for file in (directory / package).glob("*.py"):
            file.write_text(file.read_text().replace('"orders"', '"orders-24"'))
    return directory


def test_a_topic_with_twice_the_partitions_is_moved_to_and_the_services_go_on(
    tmp_path: Path, cluster: KafkaCluster, postgres: PostgresServer
) -> None:
    """Refused with the command; the command as the page has it; then the same views, new orders, each key in order."""
    for name in NAMES:
        postgres.create_database(name=f'"{name}"')
    settings = {
        name: {"EVENTBUS_BROKER_URL": cluster.url, "EVENTBUS_DATABASE_URL": postgres.url(name)} for name in NAMES
    }
    orders, payments = started(tmp_path, settings)
    try:
        place(orders, 0, ORDERS)
        before = settled(orders, ORDERS)
        payments_before = read_rows(f"{payments.url}/payments")
    finally:
        assert (orders.stop(), payments.stop()) == (0, 0)

    wider = {"EVENTBUS_BROKER_URL": cluster.url, "EVENTBUS_PARTITIONS": "24"}
    refused = run_eventbus(["topics", "apply", "--app", "order_service.service:app"], wider)
    assert refused.returncode == 1
    assert "--topic orders=orders-24 --partitions 24" in refused.stdout

    (command,) = re.findall(r"```text\n(eventbus migrate .*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    words = command.replace("kafka://k1:9092,k2:9092,k3:9092", cluster.url)
    words = words.replace("postgresql://shop@db/{service}", postgres.url("{service}"))
    moved = run_eventbus(shlex.split(words)[1:], wider)
    assert moved.returncode == 0, moved.stderr
    assert "stay as they are" not in moved.stdout, "nothing is about another log"

    code = str(_renamed(tmp_path / "code"))
    orders, payments = started(
        tmp_path, {name: {**environment, "PYTHONPATH": code} for name, environment in settings.items()}
    )
    try:
        assert settled(orders, ORDERS) == before
        assert read_rows(f"{payments.url}/payments") == payments_before
        place(orders, ORDERS, 10)
        settled(orders, ORDERS + 10)
        handled = [httpx.get(f"{service.url}/status").json()["handled"] for service in (orders, payments)]
        assert handled == [10, 10], "an event of before was handled again, or one of now was not"
    finally:
        assert (orders.stop(), payments.stop()) == (0, 0)
    _assert_in_order(cluster)
    for name in NAMES:
        postgres.drop_database(f'"{name}"')


def _assert_in_order(cluster: KafkaCluster) -> None:
    """Each order's events, those that were copied and those of now, are in one of 24 partitions, in their order."""
    messages, ends = read_messages(cluster.bootstrap, ["orders-24"])
    assert len(ends) == 24
    versions: dict[bytes, list[int]] = {}
    for message in messages:
        key = message.key()
        assert key is not None
        assert message.partition() == partition_of(key if isinstance(key, bytes) else key.encode(), 24)
        versions.setdefault(bytes(key, "utf-8") if isinstance(key, str) else key, []).append(
            int(headers_of(message)["ce_streamversion"])
        )
    assert len(versions) == ORDERS + 10
    assert {tuple(found) for found in versions.values()} == {(1, 2)}
