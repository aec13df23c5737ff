"""Two service processes and a rebuild, which is killed twice, on one database and a real log."""

import asyncio
import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from eventbus.config import BrokerUrl, EmbeddedBroker, KafkaCluster, LogInMemory, load_settings
from eventbus.embedded import joined
from eventbus.messages import Envelope
from eventbus.transport import KafkaTransport
from eventbus.transport.port import OutgoingRecord, Published
from tests.crash.world import read_tables

SERVICE = """
import sys
from eventbus import Application, Event, Row, RowProjection, projects

class OrderPlaced(Event, topic="orders", key="order_id"):
    order_id: str

class OrderCount(Row, key="order_id"):
    order_id: str
    times: int

class OrderCounts(RowProjection[OrderCount], topics=["orders"]):
    @projects(OrderPlaced)
    def placed(self, row: OrderCount | None, event: OrderPlaced) -> OrderCount:
        return OrderCount(order_id=event.order_id, times=1 if row is None else row.times + 1)

app = Application("shop", modules=[sys.modules[__name__]], partitions=4)
"""
ORDERS_BEFORE = 9_000
EVENTS_AN_ORDER = 2


class Shop:
    """The shop's code in a directory, its log and its database, and what runs on them."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        self.directory = directory
        self._environment = {**os.environ, **settings}
        self._broker = BrokerUrl.parse(settings["EVENTBUS_BROKER_URL"])
        self._database_url = load_settings(
            "shop", **{name.removeprefix("EVENTBUS_").lower(): value for name, value in settings.items()}
        ).effective_database_url
        (directory / "shop_service.py").write_text(SERVICE)
        self.published = 0

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "eventbus.cli", *arguments],
            cwd=self.directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def query(self, statement: str) -> Sequence[tuple[object, ...]]:
        try:
            return read_tables(self._database_url, {"found": statement})["found"]
        except (sqlite3.OperationalError, asyncpg.UndefinedTableError):
            return []  # not made yet

    def offset(self, generation: int) -> int:
        """How far a generation has come, summed over the partitions."""
        found = self.query(
            f"SELECT coalesce(sum(next_offset), 0) FROM eventbus_checkpoints WHERE generation = {generation}"  # noqa: S608
        )
        return int(str(found[0][0])) if found else 0

    def live(self) -> int:
        found = self.query("SELECT generation FROM eventbus_generations WHERE state = 'live'")
        return int(str(found[0][0])) if found else 0

    @asynccontextmanager
    async def _transport(self) -> AsyncGenerator[KafkaTransport]:
        async with AsyncExitStack() as stack:
            match self._broker:
                case EmbeddedBroker(directory):
                    address = (await stack.enter_async_context(joined(directory, "publisher"))).address
                case KafkaCluster(bootstrap):
                    address = bootstrap
                case LogInMemory():
                    raise AssertionError("other processes are to read it")
            transport = KafkaTransport(address, client_id="publisher")
            await transport.start()
            yield transport
            await transport.aclose()

    async def publish(self, orders: range) -> None:
        """Each order's events, of a stream and in order; each record is published twice, as a relay that died does."""
        async with self._transport() as transport:
            await transport.ensure_topics({"orders": 4})
            producer = transport.producer()
            records = [record for order in orders for record in _records(order)]
            for first in range(0, len(records), 5_000):
                outcomes = await producer.publish(records[first : first + 5_000])
                assert all(isinstance(outcome, Published) for outcome in outcomes)
            self.published += len(records)
            await producer.aclose()


def _records(order: int) -> list[OutgoingRecord]:
    records: list[OutgoingRecord] = []
    for version in range(1, EVENTS_AN_ORDER + 1):
        envelope = Envelope(
            f"{order}-{version}",
            "OrderPlaced",
            1,
            "shop",
            datetime.now(UTC),
            stream=f"Order-o-{order}",
            stream_version=version,
        )
        value = f'{{"order_id":"o-{order}"}}'.encode()
        records.append(OutgoingRecord("orders", f"o-{order}".encode(), value, envelope.headers()))
    return records * 2 if order % 10 == 0 else records


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.01)


@contextmanager
def arriving(shop: Shop) -> Iterator[list[int]]:
    """Orders arrive, a few at a time, while the block runs; what is yielded has their numbers."""
    arrived: list[int] = []
    stop = threading.Event()

    async def publish() -> None:
        for first in itertools.count(ORDERS_BEFORE, 20):
            await shop.publish(range(first, first + 20))
            arrived.extend(range(first, first + 20))
            if stop.is_set():
                return

    thread = threading.Thread(target=lambda: asyncio.run(publish()))
    thread.start()
    try:
        yield arrived
    finally:
        stop.set()
        thread.join()


@pytest.mark.timeout(300)
def test_a_rebuild_killed_twice_beside_two_running_services_loses_and_doubles_nothing(
    tmp_path: Path, service_settings: Mapping[str, str]
) -> None:
    """SIGKILL after about 30 % and 70 %; each time the next one goes on; events arrive all the while."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  shown when the test fails
    places = random.Random(seed)
    shop = Shop(tmp_path, service_settings)
    asyncio.run(shop.publish(range(ORDERS_BEFORE)))
    services = [shop.start("run", "shop_service:app") for _ in range(2)]
    processes = [*services]
    try:
        wait_for(lambda: shop.offset(1) == shop.published, "the live view has everything")
        with arriving(shop) as arrived:
            for share in (0.3, 0.7):
                rebuild = shop.start("projections", "rebuild", "order_counts", "--app", "shop_service:app")
                processes.append(rebuild)
                at = int(shop.published * (share + places.uniform(-0.1, 0.1)))
                wait_for(lambda at=at: shop.offset(2) >= at, f"offset {at}")  # type: ignore[misc]
                rebuild.send_signal(signal.SIGKILL)
                rebuild.wait()
                reached = shop.offset(2)
                assert at <= reached < shop.published, "the kill came too late"
                assert shop.live() == 1
            rebuild = shop.start("projections", "rebuild", "order_counts", "--app", "shop_service:app")
            processes.append(rebuild)
            output, _ = rebuild.communicate(timeout=60)
            assert rebuild.returncode == 0, output
            assert "generation 2 (version 1) is live, gone on with after an interruption" in output
            assert "equal to the ones before, row by row" in output
            assert shop.live() == 2
        wait_for(lambda: shop.offset(2) == shop.published, "the new generation has everything")
        rows = shop.query("SELECT count(*), sum(times), min(times), max(times) FROM view_order_counts_2")
        orders = ORDERS_BEFORE + len(arrived)
        assert rows == [(orders, orders * EVENTS_AN_ORDER, EVENTS_AN_ORDER, EVENTS_AN_ORDER)]
        for service in services:
            service.send_signal(signal.SIGTERM)
            output, _ = service.communicate(timeout=20)
            assert service.returncode == 0, output
            assert "Traceback" not in output
            assert "locked" not in output
    finally:
        for process in processes:
            process.kill()
            process.communicate()
