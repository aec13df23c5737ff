"""
How fast commands are committed and streams are loaded, beside what the bare driver does in the same run.

    python -m benchmarks.event_store [--seconds 1.0] [--rounds 3] [--freeze] [sqlite] [postgresql]

A command appends one event and adds one outbox row. The bare driver writes the same two rows: on PostgreSQL by one
statement in autocommit, on SQLite by BEGIN IMMEDIATE, two inserts and COMMIT, with synchronous=FULL both. What 64
callers could have at most is the bare driver's 64 at once, in one transaction: it compares no versions, answers nobody.
Figures are medians of the rounds; PostgreSQL is a server of its own (the wheel's) in a temporary directory, fsync on.
"""

import argparse
import asyncio
import gc
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from itertools import cycle
from typing import cast
from uuid import uuid4

from benchmarks.databases import bench_database
from benchmarks.rate import Rate, median
from eventbus.database import Database, Direct, Migrations, PostgresqlDriver
from eventbus.database.outbox import INSERT_ROWS
from eventbus.domain import Aggregate, Repository, applies
from eventbus.messages import Event, Metadata
from eventbus.serialization import MessageTypes
from eventbus.store import Transactions, new_event_id
from eventbus.store.event_rows import INSERT_EVENTS

EVENTS_OF_A_STREAM = 1000
AT_ONCE = 64
_ACCOUNTS = 2000
_EVENTS_OF_AN_ACCOUNT = 10


class Deposited(Event):
    account_id: str
    amount: Decimal
    reference: str


class Account(Aggregate, topic="accounts"):
    balance: Decimal = Decimal(0)

    def deposit(self, amount: Decimal) -> None:
        self.record(Deposited(account_id=self.id, amount=amount, reference="a reference of some length"))

    @applies(Deposited)
    def _deposited(self, event: Deposited) -> None:
        self.balance += event.amount


class Bench:
    """One database, and what is measured on it."""

    def __init__(self, url: str, seconds: float, rounds: int) -> None:
        self.database = Database.from_url(url)
        self.transactions = Transactions(self.database, "bench")
        self.types = MessageTypes([Deposited])
        self._url = url
        self._seconds = seconds
        self._rounds = rounds
        # In turn, and more than there are callers: no two callers have the same one at once.
        self._accounts = cycle([str(uuid4()) for _ in range(_ACCOUNTS)])

    async def rate(self, work: Callable[[], Awaitable[None]], callers: int = 1) -> Rate:
        """Calls of *work* by that many callers at once: the medians of the rounds."""
        found: list[Rate] = []
        for _ in range(self._rounds):
            count = 0
            end = time.perf_counter() + self._seconds

            async def call(end: float = end) -> None:
                nonlocal count
                while time.perf_counter() < end:
                    await work()
                    count += 1

            begun, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(call() for _ in range(callers)))
            cpu_seconds = time.process_time() - cpu
            found.append(Rate(count / (time.perf_counter() - begun), cpu_seconds / count * 1e6))
        return median(found)

    async def append(self) -> None:
        """One command that decides without looking: an event for a new stream."""
        async with self.transactions.begin(lazily=True) as transaction:
            unit = transaction.unit_of_work(_metadata())
            key = str(uuid4())
            event = Deposited(account_id=key, amount=Decimal(1), reference="a reference of some length")
            unit.append(f"Account-{key}", 0, [event], topic="accounts", key=key, category="Account")
            await unit.complete()

    async def command(self) -> None:
        """One command as an application has it: load an aggregate of some ten events, decide, append."""
        async with self.transactions.begin(lazily=True) as transaction:
            unit = transaction.unit_of_work(_metadata())
            account = await Repository(Account, unit, self.types).load(next(self._accounts))
            account.deposit(Decimal(1))
            await unit.complete()

    async def raw(self) -> None:
        """The two rows of a command by the bare driver."""
        await self.database.write(_RAW)

    async def raw_many(self) -> None:
        """The rows of 64 commands by the bare driver, in one transaction."""
        await self.database.write(_RAW_MANY)

    def raw_on_sqlite(self, at_once: int = 1) -> Rate:
        """The same without any thread, so many commands in each transaction."""
        path = self._url.removeprefix("sqlite:///")
        database = sqlite3.connect(path, isolation_level=None)
        database.execute("PRAGMA synchronous=FULL")
        found: list[Rate] = []
        for _ in range(self._rounds):
            count, end, cpu = 0, time.perf_counter() + self._seconds, time.process_time()
            while time.perf_counter() < end:
                database.execute("BEGIN IMMEDIATE")
                for _ in range(at_once):
                    _RAW.sqlite(database)
                database.commit()
                count += at_once
            found.append(Rate(count / self._seconds, (time.process_time() - cpu) / count * 1e6))
        database.close()
        return median(found)

    async def open_accounts(self) -> None:
        """The aggregates that commands load, of ten events each; every command on one adds another."""
        async with self.transactions.begin() as transaction:
            unit = transaction.unit_of_work(_metadata())
            for _ in range(_ACCOUNTS):
                account = Repository(Account, unit, self.types).add(Account(next(self._accounts)))
                for number in range(_EVENTS_OF_AN_ACCOUNT):
                    account.deposit(Decimal(number))
            await unit.complete()

    async def fill(self) -> str:
        """A stream of a thousand events; its aggregate's id."""
        id = str(uuid4())
        async with self.transactions.begin() as transaction:
            unit = transaction.unit_of_work(_metadata())
            account = Repository(Account, unit, self.types).add(Account(id))
            for number in range(EVENTS_OF_A_STREAM):
                account.deposit(Decimal(number))
            await unit.complete()
        return id

    async def load(self, id: str) -> None:
        """Stored events, their envelopes made."""
        async with self.transactions.begin(lazily=True) as transaction:
            found = await transaction.load(f"Account-{id}")
        assert len(found) == EVENTS_OF_A_STREAM

    async def replay(self, id: str) -> None:
        """The aggregate: events decoded, validated and applied."""
        async with self.transactions.begin(lazily=True) as transaction:
            unit = transaction.unit_of_work(_metadata())
            account = await Repository(Account, unit, self.types).load(id)
        assert account.stream_version == EVENTS_OF_A_STREAM

    async def fetch(self, id: str) -> None:
        """The rows by the bare driver."""
        rows = await self.database.read(_rows_of(f"Account-{id}"))
        assert len(rows) == EVENTS_OF_A_STREAM


_INSERT_RAW = (
    "WITH added AS (INSERT INTO eventbus_outbox (id, aggregatetype, aggregateid, type, payload, topic, key, headers, "
    "slot, created_at) VALUES ($3, $4, $1, $5, $9, $8, $1, '[]', 0, $7)) INSERT INTO eventbus_events "
    "(stream, version, id, category, type, type_version, source, time, topic, data) "
    "VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $8, $9)"
)


_INSERT_RAW_MANY = (
    f"WITH added AS ({INSERT_ROWS.select_from_arrays()}) {INSERT_EVENTS.select_from_arrays(INSERT_ROWS.width + 1)}"
)


def _raw_values() -> tuple[str, int, str, str, str, str, datetime, str, bytes]:
    data = (
        b'{"account_id":"0b5d1f2c-8f0e-4a3e-9a58-1d2a3f4b5c6d","amount":"1","reference":"a reference of some length"}'
    )
    return (str(uuid4()), 1, new_event_id(), "Account", "Deposited", "bench", datetime.now(UTC), "accounts", data)


def _raw_on_sqlite(database: sqlite3.Connection) -> None:
    key, version, id, category, kind, source, now, topic, data = _raw_values()
    at = now.isoformat()
    database.execute(
        INSERT_EVENTS.sqlite, (id, kind, 1, source, at, key, key, version, None, None, None, data, category, topic)
    )
    database.execute(
        "INSERT INTO eventbus_outbox (id, aggregatetype, aggregateid, type, payload, topic, key, headers, slot, "
        "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, '[]', 0, ?)",
        (id, category, key, kind, data, topic, key, at),
    )


async def _raw_on_postgresql(driver: PostgresqlDriver) -> None:
    await driver.fetch(_INSERT_RAW, *_raw_values())


async def _raw_many_on_postgresql(driver: PostgresqlDriver) -> None:
    events: list[tuple[object, ...]] = []
    rows: list[tuple[object, ...]] = []
    for _ in range(AT_ONCE):
        key, version, id, category, kind, source, now, topic, data = _raw_values()
        events.append((id, kind, 1, source, now, key, key, version, None, None, None, data, category, topic))
        rows.append((id, category, key, kind, data, topic, key, "[]", 0, 1, now))
    await driver.fetch(_INSERT_RAW_MANY, *map(list, zip(*rows, strict=True)), *map(list, zip(*events, strict=True)))


def _raw_many_on_sqlite(database: sqlite3.Connection) -> None:
    for _ in range(AT_ONCE):
        _raw_on_sqlite(database)


_RAW = Direct(_raw_on_sqlite, _raw_on_postgresql)
_RAW_MANY = Direct(_raw_many_on_sqlite, _raw_many_on_postgresql)


def _rows_of(stream: str) -> Direct[list[object]]:
    statement = "SELECT version, type, type_version, data FROM eventbus_events WHERE stream = {} ORDER BY version"

    async def on_postgresql(driver: PostgresqlDriver) -> list[object]:
        return list(await driver.fetch(statement.format("$1"), stream))

    return Direct(lambda database: database.execute(statement.format("?"), (stream,)).fetchall(), on_postgresql)


def _metadata() -> Metadata:
    id = str(uuid4())
    return Metadata(id, "Deposit", 1, "bench", datetime.now(UTC), correlation_id=id)


async def _measure(name: str, url: str, seconds: float, rounds: int, *, freeze: bool) -> None:
    bench = Bench(url, seconds, rounds)
    await Migrations(bench.database).upgrade()
    if freeze:
        gc.collect()
        gc.freeze()
    try:
        await bench.append()
        if name == "sqlite":
            raw, many = bench.raw_on_sqlite(), bench.raw_on_sqlite(AT_ONCE)
        else:
            raw, many = await bench.rate(bench.raw), (await bench.rate(bench.raw_many)).times(AT_ONCE)
        print(f"\n{name}: load average {os.getloadavg()[0]:.1f}")
        _say("bare driver, one caller", raw, "commands/s", raw)
        _say(f"bare driver, {AT_ONCE} in each transaction", many, "commands/s", raw)
        for callers in (1, 8, 64):
            _say(f"append, {callers} callers", await bench.rate(bench.append, callers), "commands/s", raw)
        await bench.open_accounts()
        for callers in (1, 64):
            _say(
                f"load, decide, append, {callers} callers", await bench.rate(bench.command, callers), "commands/s", raw
            )
        id = await bench.fill()
        fetched = (await bench.rate(lambda: bench.fetch(id))).times(EVENTS_OF_A_STREAM)
        _say("bare driver, fetch a stream of 1,000", fetched, "events/s", fetched)
        for what, work in (("stored events", bench.load), ("aggregate, decoded and applied", bench.replay)):
            found = (await bench.rate(partial(work, id))).times(EVENTS_OF_A_STREAM)
            _say(f"load it: {what}", found, "events/s", fetched)
    finally:
        await bench.database.aclose()


def _say(what: str, rate: Rate, unit: str, raw: Rate) -> None:
    ratio = rate.a_second / raw.a_second
    print(f"  {what:42} {rate.a_second:11,.0f} {unit:10} {ratio:6.2f} x {rate.cpu_us:8.1f} us of CPU each")


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.event_store")
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgresql"])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--freeze", action="store_true", help="gc.freeze() first: what was imported is not walked again"
    )
    given = parser.parse_args()
    for name in cast("list[str]", given.databases):
        with bench_database(name) as (url, _):
            asyncio.run(_measure(name, url, given.seconds, given.rounds, freeze=given.freeze))


if __name__ == "__main__":
    main()
