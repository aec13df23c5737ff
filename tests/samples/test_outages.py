"""A running service, and what it needs is away: said once, answered as 503, and gone on with."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from samples.demo.processes import Service
from tests.samples.conftest import free_port
from tests.servers.logs import Log, delete_topics

pytestmark = pytest.mark.kills_the_log


@pytest.fixture
def away(log: Log) -> Log:
    """A log that nobody has used for orders and payments, and that is not there."""
    delete_topics(log.bootstrap, {"orders", "payments"})
    log.kill()
    return log


@pytest.fixture
def database_url(log_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLite beside the embedded broker, PostgreSQL beside Apache Kafka."""
    if log_kind == "embedded":
        return f"sqlite:///{tmp_path}/orders.sqlite3"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
def orders(away: Log, database_url: str, tmp_path: Path) -> Iterator[Service]:
    """The order service, which waits half a second for its database, started without its broker."""
    environment = {
        "EVENTBUS_BROKER_URL": away.url,
        "EVENTBUS_DATABASE_URL": database_url,
        "EVENTBUS_DATABASE_WAIT_SECONDS": "0.5",
    }
    service = Service("order-service", "order_service", free_port(), environment, tmp_path / "order.log")
    service.start()
    try:
        service.await_ready()
        yield service
    finally:
        service.kill()


@contextmanager
def _locked(database_url: str) -> Generator[None]:
    """Another process writes to the database's tables, and does not come to an end."""
    if database_url.startswith("sqlite:///"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(database_url))
        runner.run(connection.execute("BEGIN; LOCK TABLE eventbus_events, eventbus_outbox IN EXCLUSIVE MODE"))
        yield
        runner.run(connection.close())


def _place(service: Service, order_id: str) -> httpx.Response:
    lines = [{"sku": "apple", "quantity": 1, "price": "1"}]
    body = {"order_id": order_id, "customer_id": "c", "lines": lines}
    return httpx.post(f"{service.url}/orders", json=body, timeout=20)


def _await(happened: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)


def _is_in_view(service: Service, order_id: str) -> bool:
    return httpx.get(f"{service.url}/orders/{order_id}", timeout=10).json() is not None


def _said(service: Service, words: str) -> list[str]:
    return [line for line in service.log.read_text().splitlines() if words in line]


def test_a_broker_that_is_away_is_said_once_and_commands_go_on(orders: Service, away: Log) -> None:
    """Away at the start, back, killed, back: two times away, two times back, and no order is lost."""
    assert _place(orders, "o-1").status_code == 202
    _await(lambda: len(_said(orders, "is away")) == 1, "the first absence is said")
    time.sleep(1.5)
    assert len(_said(orders, "is away")) == 1
    away.start()
    _await(lambda: _is_in_view(orders, "o-1"), "the order placed without a broker is in the view")
    away.kill()
    _await(lambda: len(_said(orders, "is away")) == 2, "the second absence is said")
    assert _place(orders, "o-2").status_code == 202
    time.sleep(1.5)
    away.start()
    _await(lambda: _is_in_view(orders, "o-2"), "the order placed beside the second absence is in the view")
    assert len(_said(orders, "is away")) == 2
    _await(lambda: len(_said(orders, "is back")) == 2, "both returns are said")
    assert orders.stop() == 0


def test_a_locked_database_is_503_and_nothing_is_skipped(orders: Service, away: Log, database_url: str) -> None:
    """A problem with Retry-After while another process holds the lock; 202 as soon as it has let go."""
    away.start()
    assert _place(orders, "o-1").status_code == 202
    _await(lambda: _is_in_view(orders, "o-1"), "the first order is in the view")
    with _locked(database_url):
        refused = _place(orders, "o-2")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["content-type"] == "application/problem+json"
        assert _is_in_view(orders, "o-1"), "reads go on"
    assert _place(orders, "o-2").status_code == 202
    _await(lambda: _is_in_view(orders, "o-2"), "the second order is in the view")
    assert orders.stop() == 0


def test_the_topics_of_a_service_keep_everything(orders: Service, away: Log) -> None:
    """Twelve partitions and no retention: a read model can be rebuilt only from what is there."""
    away.start()
    assert _place(orders, "o-1").status_code == 202
    _await(lambda: _is_in_view(orders, "o-1"), "the order is in the view")
    admin = AdminClient({"bootstrap.servers": away.bootstrap})
    topics = admin.list_topics(timeout=10).topics
    for name in ("orders", "payments"):
        assert len(topics[name].partitions) == 12
        resource = ConfigResource(ConfigResource.Type.TOPIC, name)
        settings = admin.describe_configs([resource])[resource].result(timeout=10)
        assert settings["retention.ms"].value == "-1"
