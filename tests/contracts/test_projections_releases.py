"""Two releases of a service side by side, as processes: the newer one has a new version of a projection."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.servers.logs import ON_KAFKA, Clusters, delete_topics

pytestmark = pytest.mark.timeout(240)

SERVICE = """
import sys
from fastapi import FastAPI
from eventbus import Aggregate, Application, Command, Event, Query, Receipt, Repository, Row, RowProjection, View
from eventbus import applies, handles, projects
from eventbus.http import health, http_errors

class PlaceOrder(Command):
    order_id: str

class OrderPlaced(Event):
    order_id: str

class Order(Aggregate, topic="orders"):
    def place(self) -> None:
        self.record(OrderPlaced(order_id=self.id))

    @applies(OrderPlaced)
    def _placed(self, event: OrderPlaced) -> None: ...

@handles(PlaceOrder)
async def place(command: PlaceOrder, orders: Repository[Order]) -> None:
    (await orders.load_or_new(command.order_id)).place()

class Seen(Row, key="order_id"):
    order_id: str
    words: str

class Orders(RowProjection[Seen], topics=["orders"], version=VERSION):
    @projects(OrderPlaced)
    def placed(self, row: Seen | None, event: OrderPlaced) -> Seen:
        return Seen(order_id=event.order_id, words="seen by VERSION")

class GetOrder(Query["Seen | None"]):
    order_id: str

@handles(GetOrder)
async def get_order(query: GetOrder, view: View[Orders]) -> Seen | None:
    return await view.get(query.order_id)

app = Application("shop", modules=[sys.modules[__name__]], partitions=2)
api = FastAPI(lifespan=app.lifespan, exception_handlers=http_errors)
api.mount("/health", health(app))

@api.post("/orders/{order_id}")
async def post(order_id: str) -> Receipt:
    return await app.send(PlaceOrder(order_id=order_id))

@api.get("/orders/{order_id}")
async def get(order_id: str) -> Seen | None:
    return await app.ask(GetOrder(order_id=order_id))
"""
SECONDS_MAX = 60


class Release:
    """One release's code in a directory of its own; its processes share log and database with the other's."""

    def __init__(self, directory: Path, version: int, settings: Mapping[str, str]) -> None:
        self.directory = directory / f"release-{version}"
        self.directory.mkdir()
        (self.directory / "shop_service.py").write_text(SERVICE.replace("VERSION", str(version)))
        self.environment = {**os.environ, **settings}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)

    @contextmanager
    def running(self) -> Iterator[None]:
        with (self.directory / "log").open("w") as log:
            serve = f"from eventbus.http import serve; serve('shop_service:api', port={self.port})"
            process = subprocess.Popen(
                [sys.executable, "-c", serve], cwd=self.directory, env=self.environment, stdout=log, stderr=log
            )
            try:
                yield
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0, self.log
            finally:
                process.kill()
                process.wait()
                self.client.close()

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def command(self, *arguments: str) -> str:
        found = subprocess.run(
            [sys.executable, "-m", "eventbus.cli", "projections", *arguments, "--app", "shop_service:app"],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        return found.stdout

    def status(self, path: str) -> int:
        try:
            return self.client.get(path).status_code
        except httpx.TransportError:
            return 0

    def words(self, order_id: str) -> str | None:
        found = self.client.get(f"/orders/{order_id}")
        row = found.json() if found.status_code == 200 else None
        return None if row is None else str(row["words"])

    def place(self, order_id: str) -> None:
        self.client.post(f"/orders/{order_id}").raise_for_status()


def wait_for(condition: Callable[[], bool], release: Release) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while not condition():
        assert time.monotonic() < deadline, release.log
        time.sleep(0.05)


@pytest.fixture(params=["sqlite", "postgresql", ON_KAFKA])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Mapping[str, str]:
    """The embedded broker with either database, and Apache Kafka with PostgreSQL."""
    broker_url, database_url = f"embedded:{tmp_path}/log", f"sqlite:///{tmp_path}/service.sqlite3"
    if request.param != "sqlite":
        database_url = request.getfixturevalue("empty_postgres_url")
    if request.param == "kafka":
        clusters: Clusters = request.getfixturevalue("kafka_cluster")
        cluster = clusters(3)
        delete_topics(cluster.bootstrap)
        broker_url = cluster.url
    return {"EVENTBUS_BROKER_URL": broker_url, "EVENTBUS_DATABASE_URL": database_url}


def test_a_new_release_is_not_ready_until_its_version_is_built_and_the_old_one_serves_until_then(
    tmp_path: Path, settings: Mapping[str, str]
) -> None:
    """Commands go to both all the while; after the switch the newer one is ready and the older is not, and back."""
    old, new = Release(tmp_path, 1, settings), Release(tmp_path, 2, settings)
    with old.running():
        wait_for(lambda: old.status("/health/ready") == 200, old)
        old.place("o-1")
        wait_for(lambda: old.words("o-1") == "seen by 1", old)
        with new.running():
            wait_for(lambda: new.status("/health/live") == 200, new)
            wait_for(lambda: "not built" in new.client.get("/health/ready").text, new)
            ready = new.client.get("/health/ready")
            assert ready.status_code == 503
            (problem,) = ready.json()["problems"]
            assert problem.startswith("orders: not built: projection 'orders': version 1 is live (generation 1)")
            assert "eventbus projections rebuild orders" in problem
            assert new.status("/orders/o-1") == 503
            new.place("o-2")
            wait_for(lambda: old.words("o-2") == "seen by 1", old)
            assert old.status("/health/ready") == 200

            assert "generation 2 (version 2) is live" in new.command("rebuild", "orders")
            wait_for(lambda: new.status("/health/ready") == 200, new)
            assert [new.words(order) for order in ("o-1", "o-2")] == ["seen by 2", "seen by 2"]
            wait_for(lambda: old.status("/health/ready") == 503, old)
            assert old.status("/orders/o-1") == 503
            old.place("o-3")
            wait_for(lambda: new.words("o-3") == "seen by 2", new)

            assert "generation 1 (version 1) is live" in old.command("rollback", "orders")
            wait_for(lambda: old.status("/health/ready") == 200, old)
            assert old.words("o-3") == "seen by 1"
            wait_for(lambda: new.status("/health/ready") == 503, new)
            new.place("o-4")
            wait_for(lambda: old.words("o-4") == "seen by 1", old)
