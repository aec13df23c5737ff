"""
Takes the costs of an event on this machine: what the simulation is fed with. Some two minutes.

    python -m benchmarks.scale.measurement [--size 1.0] [--write]

The framework works in this process, PostgreSQL (fsync on) and `broker serve` are beside it; the processor time of each
of the three is read from /proc before and after. The broker syncs before it answers, as the framework's topics have it.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import anyio
import asyncpg
import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own
from confluent_kafka import Producer

from benchmarks import delivery, event_store, numbered, projections, relay
from benchmarks.case import Mode
from benchmarks.record import commit, machine
from benchmarks.room import Room
from benchmarks.scale.costs import FILE
from broker.cli.bench_process import ServerProcess
from eventbus.clock import SystemClock
from eventbus.database import Database, Migrations
from eventbus.projections import prepare_projections
from eventbus.transport import KafkaTransport

COMMAND_SECONDS: Final = 4.0
ROWS: Final = 40_000
EVENTS: Final = 100_000
SYNCS: Final = 400
TRANSACTIONS: Final = 400
# Server CPU for a GB of records of 1 KB, acks=all: Apache Kafka's by the broker's, of a whole run of `make bench`.
CLUSTER_FACTOR: Final = 3.3
Work = Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds of a processor, and of the clock."""

    service: float
    database: float
    log: float
    clock: float

    def each(self, events: int) -> dict[str, float]:
        """Microseconds for an event."""
        found = {"service_us": self.service, "database_us": self.database, "log_us": self.log}
        return {name: round(seconds / events * 1e6, 2) for name, seconds in found.items()}


class Bench:
    """The servers, and the meters on them."""

    def __init__(self, room: Room, size: float) -> None:
        self._size = size
        # Made before there is an event loop: one for each thing that is measured.
        self._databases = [room.database("postgresql") for _ in range(5)]
        self._address = room.broker.address
        self._log = ServerProcess(room.broker.pid)
        self._postgresql = asyncio.run(_postmaster(room.postgresql))

    def sized(self, full: int) -> int:
        return max(100, round(full * self._size))

    async def metered(self, work: Work) -> tuple[int, Used]:
        """How many events *work* did, and what they used."""
        before = self._now()
        events = await work()
        after = self._now()
        return events, Used(*(later - earlier for earlier, later in zip(before, after, strict=True)))

    def _now(self) -> tuple[float, float, float, float]:
        return time.process_time(), _cpu_of_all(self._postgresql), self._log.cpu_seconds(), time.perf_counter()

    async def commands(self, callers: int) -> dict[str, float]:
        bench = event_store.Bench(self._databases.pop(), COMMAND_SECONDS * self._size, 1)
        count = 0

        async def work() -> None:
            nonlocal count
            await bench.command()
            count += 1

        async def run() -> int:
            await bench.rate(work, callers)
            return count

        try:
            await Migrations(bench.database).upgrade()
            await bench.open_accounts()
            events, used = await self.metered(run)
        finally:
            await bench.database.aclose()
        return used.each(events)

    async def relaying(self) -> dict[str, float]:
        rows = self.sized(ROWS)
        bench = relay.Bench("postgresql", self._databases.pop(), self._address, 1)
        with numbered.topic(self._address, 12, name="accounts", settings={"flush.before.ack": "true"}):
            transport = KafkaTransport(self._address)
            await transport.start()
            try:
                await Migrations(bench.database).upgrade()
                await bench.fill(rows)
                events, used = await self.metered(lambda: _drained(bench, transport, rows))
            finally:
                await transport.aclose()
                await bench.database.aclose()
        return used.each(events)

    async def handling(self) -> dict[str, float]:
        events = self.sized(EVENTS)
        database = Database.from_url(self._databases.pop())
        with numbered.topic(self._address, delivery.PARTITIONS, name=delivery.TOPIC):
            delivery.fill(self._address, events)
            transport = KafkaTransport(self._address)
            await transport.start()
            try:
                await Migrations(database).upgrade()

                async def run() -> int:
                    await delivery.handle_each(transport, database, f"scale-{uuid4().hex[:6]}", events)
                    return events

                return (await self.metered(run))[1].each(events)
            finally:
                await transport.aclose()
                await database.aclose()

    async def views(self) -> tuple[dict[str, dict[str, float]], float]:
        """Of decoding alone, of a view that catches up and of a rebuild; and the rebuild's events a second."""
        events = self.sized(EVENTS) // 3 * 3
        database = Database.from_url(self._databases.pop())
        found: dict[str, dict[str, float]] = {}
        rate = 0.0
        with numbered.topic(self._address, projections.PARTITIONS, name=projections.TOPIC):
            projections.fill(self._address, events)
            transport = KafkaTransport(self._address)
            await transport.start()
            try:
                await Migrations(database).upgrade()
                await prepare_projections(database, [projections.OrderSummaries], SystemClock())
                works: dict[str, Callable[[], Awaitable[None]]] = {
                    "decoding": lambda: projections.raw_loop(self._address, events),
                    "view": lambda: projections.catch_up(transport, database, events),
                    "rebuild": lambda: projections.rebuild(transport, database),
                }
                for name, work in works.items():

                    async def run(work: Callable[[], Awaitable[None]] = work) -> int:
                        await work()
                        return events

                    _, used = await self.metered(run)
                    found[name] = used.each(events)
                    rate = events / used.clock
            finally:
                await transport.aclose()
                await database.aclose()
        return found, rate

    def log_transaction_us(self) -> float:
        """The median of transactions of one record."""
        with numbered.topic(self._address, settings={"flush.before.ack": "true"}) as name:
            producer = Producer({"bootstrap.servers": self._address, "transactional.id": "scale", "linger.ms": 2})
            producer.init_transactions()
            taken: list[float] = []
            for _ in range(self.sized(TRANSACTIONS)):
                begun = time.perf_counter()
                producer.begin_transaction()
                producer.produce(name, bytes(200))
                producer.commit_transaction()
                taken.append(time.perf_counter() - begun)
        return statistics.median(taken) * 1e6


async def _drained(bench: relay.Bench, transport: KafkaTransport, rows: int) -> int:
    working = bench.relay(transport)
    async with anyio.create_task_group() as tasks:
        await tasks.start(working.run)
        while working.status().published < rows:  # noqa: ASYNC110 (the relay has no event for it)
            await asyncio.sleep(0.005)
        await working.stop()
    return rows


def sync_us() -> float:
    """The median of `fdatasync` behind a page's write."""
    taken: list[float] = []
    with tempfile.TemporaryFile(buffering=0) as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken) * 1e6


def measure(size: float) -> dict[str, object]:
    """All of it, as costs.json has it."""
    load = os.getloadavg()[0]
    with Room(Mode.FULL, size) as room:
        bench = Bench(room, size)
        many = asyncio.run(bench.commands(64))
        alone = asyncio.run(bench.commands(1))
        views, rebuild_rate = asyncio.run(bench.views())
        found: dict[str, object] = {
            "command": many,
            "transaction": {name: round(max(0.0, alone[name] - cost), 2) for name, cost in many.items()},
            "relay": asyncio.run(bench.relaying()),
            "handling": asyncio.run(bench.handling()),
            **views,
            "sync_us": round(sync_us(), 1),
            "log_transaction_us": round(bench.log_transaction_us(), 1),
            "cluster_factor": CLUSTER_FACTOR,
            "rebuild_rate": round(rebuild_rate),
        }
    where = machine()
    source = (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {commit()}, {where['cores']} cores ({where['cpu']}), "
        f"load average before it {load:.1f}"
    )
    return {"source": source, **found}


async def _postmaster(url: str) -> psutil.Process:
    connection = await asyncpg.connect(url)
    try:
        parent = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()")).parent()
    finally:
        await connection.close()
    assert parent is not None, f"PostgreSQL at {urlsplit(url).path} is not on this machine"
    return parent


def _cpu_of_all(process: psutil.Process) -> float:
    """Of a process, of its children, and of those that have gone."""
    found = process.cpu_times()
    total = found.user + found.system + found.children_user + found.children_system
    for child in process.children(recursive=True):
        try:
            used = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += used.user + used.system
    return float(total)


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.measurement", description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, help="a factor on all sizes, for trying it out")
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name}, which the simulation reads")
    given = parser.parse_args()
    text = json.dumps(measure(given.size), indent=2) + "\n"
    print(text, end="")
    if given.write:
        Path(FILE).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
