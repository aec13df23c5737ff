"""
Points of the curves of benchmarks.cases.growth, by `what`: streams, load, load_snapshots, replay, parked.

What a size needs is prepared before the first turn where it can be kept (a database a size), or anew in every turn.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from benchmarks import answering, delivery, numbered, projections
from benchmarks.case import Unsound
from benchmarks.event_store import Account, Bench, Deposited
from eventbus.application.garbage import spare_the_collector
from eventbus.clock import SystemClock
from eventbus.database import Database, Migrations
from eventbus.database.parking import ParkedEvent, ParkedKey, Parking
from eventbus.domain import Aggregate, Repository, applies
from eventbus.messages import Metadata
from eventbus.projections import prepare_projections
from eventbus.transport import KafkaTransport

_STREAMS = (100, 1_000, 10_000, 100_000, 1_000_000)
_EVENTS_OF_A_STREAM = (10, 100, 1_000, 10_000, 100_000)
_EVENTS_OF_A_TOPIC = (9_999, 99_999, 999_999)
_PARKED = (1, 1_000, 10_000, 100_000)
_BEHIND_THE_SNAPSHOT = 50
_HANDLED = 20_000
_LOADS = 5

_FILL = {
    "sqlite": "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count) "
    "INSERT INTO eventbus_events (stream, version, id, category, type, type_version, source, time, topic, data) "
    "SELECT 'Account-f' || n, 1, 'f' || n, 'Account', 'Deposited', 1, 'bench', '2026-01-01T00:00:00+00:00', "
    "'accounts', CAST('{}' AS BLOB) FROM numbers",
    "postgresql": "INSERT INTO eventbus_events "
    "(stream, version, id, category, type, type_version, source, time, topic, data) "
    "SELECT 'Account-f' || n, 1, 'f' || n, 'Account', 'Deposited', 1, 'bench', now(), 'accounts', '{}'::bytea "
    "FROM generate_series(1, CAST(:count AS integer)) AS n",
}


class SnapshottedDeposit(Deposited):
    pass


class Snapshotted(Aggregate, topic="snapshotted", snapshot=1):
    balance: Decimal = Decimal(0)

    def deposit(self, amount: Decimal) -> None:
        self.record(SnapshottedDeposit(account_id=self.id, amount=amount, reference="a reference of some length"))

    @applies(SnapshottedDeposit)
    def _deposited(self, event: SnapshottedDeposit) -> None:
        self.balance += event.amount


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    turns: dict[str, Callable[[Mapping[str, Any], answering.Answers], Awaitable[None]]] = {
        "streams": _streams,
        "load": _load,
        "load_snapshots": _load,
        "replay": _replay,
        "parked": _parked,
    }
    await turns[given["what"]](given, answers)


def _sizes(given: Mapping[str, Any], sizes: tuple[int, ...]) -> list[int]:
    """With a factor for trying things out only those that stay; the first two at least."""
    return [size for size in sizes if size <= max(sizes) * given["size"] or size in sizes[:2]]


async def _streams(given: Mapping[str, Any], answers: answering.Answers) -> None:
    """A database a size, each with as many streams of one event."""
    kind = "sqlite" if given["url"].startswith("sqlite") else "postgresql"
    benches: dict[int, Bench] = {}
    for size in _sizes(given, _STREAMS):
        bench = Bench(await projections.another_database(given["url"], f"s{size}_{uuid4().hex[:6]}"), 0.5, 1)
        await Migrations(bench.database).upgrade()
        async with bench.database.transaction() as connection:
            await connection.execute(text(_FILL[kind]), {"count": size})
        benches[size] = bench

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        return {f"time@{size}": 1e6 / (await bench.rate(bench.append)).a_second for size, bench in benches.items()}

    spare_the_collector()
    await answers.loop(run)
    for bench in benches.values():
        await bench.database.aclose()


async def _load(given: Mapping[str, Any], answers: answering.Answers) -> None:
    """A stream a size; with snapshots the last 50 events lie behind one."""
    kind: type[Account | Snapshotted] = Snapshotted if given["what"] == "load_snapshots" else Account
    bench = Bench(given["url"], 0.5, 1)
    bench.types = type(bench.types)([Deposited, SnapshottedDeposit])
    await Migrations(bench.database).upgrade()
    ids: dict[int, str] = {}

    async def work(id: str, deposits: int) -> int:
        """The stream's version before, with so many more events after."""
        async with bench.transactions.begin(lazily=True) as transaction:
            now = datetime.now(UTC)
            unit = transaction.unit_of_work(Metadata(str(uuid4()), "Deposit", 1, "bench", now))
            account: Any = await Repository(kind, unit, bench.types).load_or_new(id)
            version = int(account.stream_version)
            for number in range(deposits):
                account.deposit(Decimal(number))
            await unit.complete()
        return version

    for size in _sizes(given, _EVENTS_OF_A_STREAM):
        ids[size] = str(uuid4())
        first = size - _BEHIND_THE_SNAPSHOT if size > _BEHIND_THE_SNAPSHOT else size
        await work(ids[size], first)
        if size > first:
            await work(ids[size], size - first)

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        figures: dict[str, float] = {}
        for size, id in ids.items():
            begun = time.perf_counter()
            for _ in range(_LOADS):
                if (version := await work(id, 0)) != size:
                    raise Unsound(f"{size} events were saved, version {version} was loaded")
            figures[f"time@{size}"] = (time.perf_counter() - begun) / _LOADS * 1e6
        return figures

    spare_the_collector()
    await answers.loop(run)
    await bench.database.aclose()


async def _replay(given: Mapping[str, Any], answers: answering.Answers) -> None:
    """One topic grows; at every size a view in a database of its own catches up."""
    transport = KafkaTransport(given["address"])
    await transport.start()

    async def run(turn: Mapping[str, object]) -> dict[str, float]:
        figures: dict[str, float] = {}
        with numbered.topic(given["address"], projections.PARTITIONS, name=projections.TOPIC):
            written = 0
            for size in _sizes(given, _EVENTS_OF_A_TOPIC):
                projections.fill(given["address"], size, first=written)
                written = size
                name = f"r{size}_{turn['turn']}_{uuid4().hex[:6]}"
                database = Database.from_url(await projections.another_database(given["url"], name))
                await Migrations(database).upgrade()
                await prepare_projections(database, [projections.OrderSummaries], SystemClock())
                begun = time.perf_counter()
                await projections.catch_up(transport, database, size, service=name)
                figures[f"time@{size}"] = time.perf_counter() - begun
                await database.aclose()
        return figures

    spare_the_collector()
    await answers.loop(run)
    await transport.aclose()


async def _parked(given: Mapping[str, Any], answers: answering.Answers) -> None:
    """Other keys of the topic are handled while so many events of ten keys are parked for the same service."""
    database = Database.from_url(given["url"])
    await Migrations(database).upgrade()
    transport = KafkaTransport(given["address"])
    await transport.start()
    described = (await transport.describe([delivery.TOPIC])).topics[delivery.TOPIC]
    there = sum(partition.end for partition in described.partitions)
    if not there:
        delivery.fill(given["address"], _HANDLED)

    async def park(service: str, count: int) -> None:
        now, parking = datetime.now(UTC), Parking()
        keys = [ParkedKey(service, delivery.TOPIC, f"bad-{number}".encode(), "bad") for number in range(min(10, count))]
        async with database.transaction() as connection:
            for key in keys:
                await parking.park(connection, key, str(uuid4()), now)
            for first in range(0, count, 1_000):
                await parking.add(
                    connection,
                    [
                        ParkedEvent(keys[n % len(keys)], 0, n, str(uuid4()), "Paid", b"{}", (), 0, now)
                        for n in range(first, min(count, first + 1_000))
                    ],
                )

    async def run(turn: Mapping[str, object]) -> dict[str, float]:
        figures: dict[str, float] = {}
        for size in _sizes(given, _PARKED):
            service = f"parked-{turn['turn']}-{size}-{uuid4().hex[:6]}"
            await park(service, size)
            try:
                found = await delivery.handle_each(transport, database, service, _HANDLED)
            except AssertionError as wrong:
                raise Unsound(str(wrong)) from wrong
            figures[f"rate@{size}"] = found.a_second
        return figures

    spare_the_collector()
    await answers.loop(run)
    await transport.aclose()
    await database.aclose()


if __name__ == "__main__":
    answering.serve(main)
