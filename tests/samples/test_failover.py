"""
Both sample services on three nodes of Apache Kafka and PostgreSQL, which fail while orders flow.

After each failure every order that was accepted over HTTP is settled, and the demo's checker, which knows the topics
and the HTTP answers alone, finds no event lost, doubled or out of its stream's order, no payment made twice, and views
that are the fold of the log.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import httpx
import pytest

from samples.demo.checker import check, read_rows, read_topics
from samples.demo.ledger import FINAL, Entry, Ledger, OrderRequest, order_requests
from tests.samples.conftest import Samples, make_samples
from tests.servers.kafka_server import KafkaCluster
from tests.servers.logs import Clusters, delete_topics
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]
POSTERS = 4
PAUSE_SECONDS = 0.2
SETTLES_WITHIN_SECONDS = 120.0


@dataclass
class Shop:
    """The services, what they run on, and what was promised over HTTP so far."""

    cluster: KafkaCluster
    postgres: PostgresServer
    samples: Samples
    settings: dict[str, dict[str, str]]
    ledger: Ledger = field(default_factory=Ledger)
    requests: Iterator[OrderRequest] = field(default_factory=lambda: order_requests(seed=8))

    @contextmanager
    def ordering(self, report: Callable[[str], None], what: str) -> Iterator[None]:
        """Orders flow while the block runs; when it has ended all of them are settled, and the log is checked."""
        stop, lock, began = threading.Event(), threading.Lock(), time.time()
        before = set(self.ledger.orders)
        with ThreadPoolExecutor(POSTERS + 1) as threads:
            watching = threads.submit(self._watch, stop)
            posting = [threads.submit(self._post, stop, lock) for _ in range(POSTERS)]
            try:
                time.sleep(2)
                yield
                time.sleep(2)
            finally:
                stop.set()
            for each in posting:
                each.result()
            watching.result()
        entries = [entry for order_id, entry in self.ledger.orders.items() if order_id not in before]
        settled = [began, *sorted(entry.settled_at or 0 for entry in entries)]
        gap = max(later - earlier for earlier, later in pairwise(settled))
        waited = max((entry.settled_at or 0) - entry.posted_at for entry in entries)
        report(
            f"{what}: {len(entries)} orders, longest time without one settled {gap:.1f} s, longest wait {waited:.1f} s"
        )
        self.check()

    def check(self) -> None:
        events = read_topics(self.cluster.bootstrap, ("orders", "payments"))
        rows = self.rows()
        findings = check(events, rows["order_summaries"], rows["payments"], self.ledger)
        assert findings.faults == []

    def rows(self) -> dict[str, dict[str, dict[str, str | None]]]:
        """What the services list, by view."""
        return {
            "order_summaries": read_rows(f"{self.samples.orders.url}/orders"),
            "payments": read_rows(f"{self.samples.payments.url}/payments"),
        }

    def _post(self, stop: threading.Event, lock: threading.Lock) -> None:
        with httpx.Client(base_url=self.samples.orders.url, timeout=60) as client:
            while not stop.is_set():
                with lock:
                    request = next(self.requests)
                # What is not answered with 202 is sent again under its key: one order, however often it was taken.
                headers = {"idempotency-key": request["order_id"]}
                while client.post("/orders", json=request, headers=headers).status_code != 202:
                    time.sleep(0.1)
                self.ledger.orders[request["order_id"]] = Entry(time.time())
                time.sleep(PAUSE_SECONDS)

    def _watch(self, stop: threading.Event) -> None:
        deadline = float("inf")
        while not stop.is_set() or self.ledger.unsettled:
            if stop.is_set():
                deadline = min(deadline, time.monotonic() + SETTLES_WITHIN_SECONDS)
            assert time.monotonic() < deadline, f"{self.ledger.unsettled} orders are not settled"
            time.sleep(0.1)
            try:
                rows = read_rows(f"{self.samples.orders.url}/orders")
            except httpx.HTTPStatusError:
                continue  # its database is away
            seen_at = time.time()
            for order_id, row in rows.items():
                entry = self.ledger.orders.get(order_id)
                if entry is not None and entry.settled_at is None and row["status"] in FINAL:
                    entry.settled_at = seen_at


@pytest.fixture(scope="module")
def shop(kafka_cluster: Clusters, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    cluster = kafka_cluster(3)
    delete_topics(cluster.bootstrap)
    settings = {
        name: {
            "EVENTBUS_BROKER_URL": cluster.url,
            "EVENTBUS_DATABASE_URL": postgres.url(postgres.create_database()),
        }
        for name in ("order_service", "payment_service")
    }
    samples = make_samples(tmp_path_factory.mktemp("failover"), *settings.values())
    try:
        for service in (samples.orders, samples.payments):
            service.start()
        for service in (samples.orders, samples.payments):
            service.await_ready()
        yield Shop(cluster, postgres, samples, settings)
    finally:
        samples.orders.kill()
        samples.payments.kill()
        postgres.start()


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Says a figure, whether the test passes or not."""

    def say(words: str) -> None:
        with capsys.disabled():
            print(f"\n  {words}")  # noqa: T201

    return say


@pytest.fixture(autouse=True)
def whole(shop: Shop) -> Iterator[None]:
    """Whatever a test has killed or frozen is back."""
    yield
    shop.cluster.resume()
    shop.postgres.start()


def test_a_partitions_leader_is_killed(shop: Shop, report: Callable[[str], None]) -> None:
    """SIGKILL: another replica leads, and nothing that was acknowledged is lost with it."""
    with shop.ordering(report, "leader killed"):
        killed = shop.cluster.leader("orders", 0)
        shop.cluster.kill(killed)
        assert shop.cluster.leader("orders", 0) != killed


def test_a_node_is_frozen(shop: Shop, report: Callable[[str], None]) -> None:
    """It holds its connections open and answers nobody, is given up, and comes back as if no time had passed."""
    with shop.ordering(report, "leader frozen"):
        frozen = shop.cluster.leader("payments", 0)
        shop.cluster.freeze(frozen)
        assert shop.cluster.leader("payments", 0) != frozen
        time.sleep(4)
        shop.cluster.thaw(frozen)


def test_all_nodes_are_restarted_one_after_the_other(shop: Shop, report: Callable[[str], None]) -> None:
    """As an operator does for a new release: each hands over, stops, starts, and is in sync before the next."""
    with shop.ordering(report, "rolling restart"):
        for node in shop.cluster.nodes:
            shop.cluster.restart(node.number)


def test_postgresql_is_restarted_and_killed(shop: Shop, report: Callable[[str], None]) -> None:
    """Under both services at once; what was not answered is asked again and happens once."""
    with shop.ordering(report, "PostgreSQL restarted, then killed"):
        shop.postgres.restart()
        time.sleep(2)
        shop.postgres.kill()
        shop.postgres.start()


@pytest.mark.parametrize(("view", "service"), [("order_summaries", "order_service"), ("payments", "payment_service")])
def test_a_view_that_is_rebuilt_equals_the_one_built_live(shop: Shop, view: str, service: str) -> None:
    """From the log as all these failures have left it, compared row by row before the switch."""
    live = shop.rows()[view]
    done = subprocess.run(
        [sys.executable, "-m", "eventbus.cli", "projections", "rebuild", view, "--app", f"{service}.service:app"],
        env={**os.environ, **shop.settings[service]},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "equal to the ones before, row by row" in done.stdout
    assert shop.rows()[view] == live
