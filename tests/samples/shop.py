"""Both sample services on Apache Kafka and PostgreSQL while orders flow, and what is checked when all are settled."""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx

from samples.demo.checker import LoggedEvent, check, read_rows, read_topics
from samples.demo.ledger import FINAL, Entry, Ledger, OrderRequest, order_requests
from tests.samples.conftest import Samples, make_samples
from tests.servers.kafka_server import KafkaCluster
from tests.servers.logs import delete_topics
from tests.servers.postgres import PostgresServer

POSTERS = 4
PAUSE_SECONDS = 0.2
SETTLES_WITHIN_SECONDS = 120.0
_STEPS = (
    ("order's outbox", "payment's handler"),
    ("payment's outbox", "order's handler"),
    ("order's outbox again", "view"),
)


@dataclass
class Shop:
    """The services, what they run on, and what was promised over HTTP so far."""

    cluster: KafkaCluster
    postgres: PostgresServer
    samples: Samples
    settings: dict[str, dict[str, str]]
    """Of each service, by the name of its module."""
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
        report(f"  the longest of each step: {self._steps(before)}")
        self.check()

    def _steps(self, before: Collection[str]) -> str:
        """How long an order, of those that are not *before*, waited on its way: in an outbox, or for who reads it."""
        took: dict[str, float] = {}

        def step(name: str, seconds: float) -> None:
            took[name] = max(took.get(name, 0.0), seconds)

        way: dict[str, dict[str, LoggedEvent]] = {}
        for event in read_topics(self.cluster.bootstrap, ("orders", "payments")):
            way.setdefault(str(event.data["order_id"]), {}).setdefault(event.topic + str(event.stream_version), event)
        for order_id, entry in self.ledger.orders.items():
            events = sorted(way.get(order_id, {}).values(), key=lambda event: event.logged_at)
            if order_id in before or len(events) != len(_STEPS):
                continue
            for (waits, reads), event, following in zip(_STEPS, events, [*events[1:], None], strict=True):
                step(waits, event.logged_at - event.time)
                end = (entry.settled_at or 0) if following is None else following.time
                step(reads, end - event.logged_at)
        return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())

    def check(self) -> None:
        """
        Of the log as it is, and of the views when they have come to its end: that an order is settled in one of them
        says nothing of the other's.
        """
        until = time.monotonic() + SETTLES_WITHIN_SECONDS
        while True:
            rows = self.rows()
            events = read_topics(self.cluster.bootstrap, ("orders", "payments"))
            faults = check(events, rows["order_summaries"], rows["payments"], self.ledger).faults
            if not faults:
                return
            assert time.monotonic() < until, faults
            time.sleep(1)

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


@contextmanager
def open_shop(cluster: KafkaCluster, postgres: PostgresServer, directory: Path) -> Iterator[Shop]:
    """Both services, a process each, on topics made anew."""
    delete_topics(cluster.bootstrap)
    settings = {
        name: {
            "EVENTBUS_BROKER_URL": cluster.url,
            "EVENTBUS_DATABASE_URL": postgres.url(postgres.create_database()),
        }
        for name in ("order_service", "payment_service")
    }
    samples = make_samples(directory, *settings.values())
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
