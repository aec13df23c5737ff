"""
How fast the relay brings committed rows into the log, beside what bare clients do in the same run.

    python -m benchmarks.relay [--rows 40000] [--rounds 3] [--seconds 2.0] [sqlite] [postgresql]

Drain       rows of an outbox that is full when a relay with four slots starts; counted from its first row to its last
Latency     one event a time into an idle outbox: from the commit's answer to when the log has acknowledged it and its
            row is deleted
Bare        the same number of rows, by thousands: confluent-kafka's transactional producer alone (begin, produce with
            the same headers, commit), and the driver alone (select and delete of the rows in one transaction). A relay
            without any cost of its own would take the sum of the two, or with several slots at once somewhat less

The log is the embedded broker, which syncs before it answers; PostgreSQL is a server of its own (the wheel's) with
fsync on; SQLite has synchronous=FULL; everything is in one temporary directory. Figures are medians of the rounds.
"""

import argparse
import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, cast
from uuid import uuid4

import anyio
import asyncpg
from confluent_kafka import Producer

from benchmarks.databases import bench_database
from benchmarks.rate import Rate, median
from eventbus.database import Database, Migrations, Outbox, OutboxRow, SlotLeases
from eventbus.delivery import Relay
from eventbus.embedded import joined
from eventbus.messages import Envelope, Event, Metadata
from eventbus.serialization import encode
from eventbus.store import Transactions, new_event_id
from eventbus.transport import KafkaTransport
from eventbus.transport.partitioning import SLOTS, slot_of

_BATCH: Final = 1000
_KEYS: Final = 1000
_PARTITIONS: Final = 12
_TOPIC: Final = "accounts"
_SELECT: Final = "SELECT * FROM eventbus_outbox ORDER BY sequence LIMIT 1000"
_LOOK_SECONDS: Final = 0.0005
_IDLE_SECONDS: Final = 0.02


class Deposited(Event):
    account_id: str
    amount: int
    reference: str


def _rows(count: int) -> list[OutboxRow]:
    """Rows as an aggregate's events have them, of about 180 bytes with six headers, for a thousand keys."""
    made: list[OutboxRow] = []
    for number in range(count):
        key, id, now = f"account-{number % _KEYS}", new_event_id(), datetime.now(UTC)
        event = Deposited(account_id=key, amount=number, reference="a reference of some length")
        envelope = Envelope(id, "Deposited", 1, "bench", now, key, f"Account-{key}", number, id, id, None)
        headers = envelope.header_texts()
        made.append(
            OutboxRow(
                id, "Account", key, "Deposited", encode(event), _TOPIC, key, headers, slot_of(key.encode()), number, now
            )
        )
    return made


class Bench:
    """One database, the log, and what is measured on them."""

    def __init__(self, name: str, url: str, address: str, rounds: int) -> None:
        self.database = Database.from_url(url)
        self._name = name
        self._url = url
        self._address = address
        self._rounds = rounds

    async def fill(self, count: int) -> None:
        """That many rows in the outbox."""
        made = _rows(count)
        for start in range(0, count, _BATCH):
            async with self.database.transaction() as connection:
                await Outbox().add(connection, made[start : start + _BATCH])

    def relay(self, transport: KafkaTransport) -> Relay:
        """A relay as a service has it."""
        return Relay(self.database, Outbox(), SlotLeases(), transport, "bench", service=f"bench-{self._name}")

    async def drain(self, transport: KafkaTransport, count: int) -> Rate:
        """A full outbox, until it is empty."""
        return median([await self._drain_once(transport, count) for _ in range(self._rounds)])

    async def _drain_once(self, transport: KafkaTransport, count: int) -> Rate:
        await self.fill(count)
        relay = self.relay(transport)
        async with anyio.create_task_group() as tasks:
            await tasks.start(relay.run)
            await _until(lambda: relay.status().published > 0)
            left = count - relay.status().published
            begun, cpu = time.perf_counter(), time.process_time()
            await _until(lambda: relay.status().published == count)
            seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
            await relay.stop()
        return Rate(left / seconds, cpu_seconds / left * 1e6)

    async def latencies(self, transport: KafkaTransport, seconds: float) -> list[float]:
        """Milliseconds from commit to acknowledged, one event after the other."""
        transactions = Transactions(self.database, "bench")
        relay = self.relay(transport)
        transactions.when_committed(relay.wake)
        found: list[float] = []
        async with anyio.create_task_group() as tasks:
            await tasks.start(relay.run)
            await _until(lambda: len(relay.status().slots) == SLOTS)
            for _ in range(4 * SLOTS):
                await self._one(transactions, relay)
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                await asyncio.sleep(_IDLE_SECONDS)
                found.append(await self._one(transactions, relay))
            await relay.stop()
        return sorted(found)

    async def _one(self, transactions: Transactions, relay: Relay) -> float:
        published = relay.status().published
        async with transactions.begin() as transaction:
            metadata = Metadata(id=str(uuid4()), type="Bench", version=1, source="bench", time=datetime.now(UTC))
            unit = transaction.unit_of_work(metadata)
            key = str(uuid4())
            event = Deposited(account_id=key, amount=1, reference="a reference of some length")
            unit.append(f"Account-{key}", 0, [event], topic=_TOPIC, key=key, category="Account")
            await unit.complete()
        committed = time.perf_counter()
        await _until(lambda: relay.status().published > published)
        return (time.perf_counter() - committed) * 1000

    async def bare_database(self, count: int) -> Rate:
        """Selecting and deleting the rows by thousands, by the driver alone."""
        found: list[Rate] = []
        for _ in range(self._rounds):
            await self.fill(count)
            begun, cpu = time.perf_counter(), time.process_time()
            if self._name == "sqlite":
                self._empty_sqlite()
            else:
                await self._empty_postgresql()
            found.append(Rate(count / (time.perf_counter() - begun), (time.process_time() - cpu) / count * 1e6))
        return median(found)

    def _empty_sqlite(self) -> None:
        with closing(sqlite3.connect(self._url.removeprefix("sqlite:///"), isolation_level=None)) as database:
            database.execute("PRAGMA synchronous=FULL")
            while True:
                database.execute("BEGIN IMMEDIATE")
                rows = database.execute(_SELECT).fetchall()
                if rows:
                    database.execute("DELETE FROM eventbus_outbox WHERE sequence <= ?", (rows[-1][0],))
                database.execute("COMMIT")
                if not rows:
                    return

    async def _empty_postgresql(self) -> None:
        connection = await asyncpg.connect(self._url)
        try:
            while True:
                async with connection.transaction():
                    rows = await connection.fetch(_SELECT)
                    if not rows:
                        return
                    sequences = [row["sequence"] for row in rows]
                    await connection.execute(
                        "DELETE FROM eventbus_outbox WHERE sequence = ANY($1::bigint[])", sequences
                    )
        finally:
            await connection.close()

    def bare_producer(self, count: int) -> Rate:
        """Transactions of a thousand records by confluent-kafka alone."""
        rows = _rows(count)
        records: list[tuple[bytes, str | None, list[tuple[str, str | bytes | None]]]] = [
            (row.payload, row.key, list(row.headers)) for row in rows
        ]
        options: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self._address,
            "transactional.id": f"bare-{self._name}",
            "linger.ms": 2,
            "partitioner": "murmur2_random",
        }
        producer = Producer(options)
        producer.init_transactions()
        found: list[Rate] = []
        for _ in range(self._rounds):
            begun, cpu = time.perf_counter(), time.process_time()
            for start in range(0, count, _BATCH):
                producer.begin_transaction()
                for value, key, headers in records[start : start + _BATCH]:
                    producer.produce(_TOPIC, value, key, headers=headers)
                producer.commit_transaction()
            found.append(Rate(count / (time.perf_counter() - begun), (time.process_time() - cpu) / count * 1e6))
        return median(found)


async def _until(condition: Callable[[], bool], look_seconds: float = _LOOK_SECONDS) -> None:
    while not condition():  # noqa: ASYNC110 (the relay has no event for what is measured here)
        await asyncio.sleep(look_seconds)


async def _measure(name: str, url: str, directory: Path, count: int, rounds: int, seconds: float) -> None:
    async with joined(directory / f"log-{name}", "bench") as member:
        transport = KafkaTransport(member.address, topic_options={"flush.before.ack": "true"})
        bench = Bench(name, url, member.address, rounds)
        try:
            await transport.start()
            await transport.ensure_topics({_TOPIC: _PARTITIONS})
            await Migrations(bench.database).upgrade()
            print(f"\n{name}: load average {os.getloadavg()[0]:.1f}, {count} rows, {rounds} rounds")
            producer = bench.bare_producer(count)
            database = await bench.bare_database(count)
            _say("bare producer, transactions of 1,000", producer)
            _say("bare driver, select and delete 1,000", database)
            both = 1 / (1 / producer.a_second + 1 / database.a_second)
            print(f"  {'the two after each other':42} {both:11,.0f} rows/s")
            relay = await bench.drain(transport, count)
            _say("relay, four slots, a full outbox", relay)
            print(f"  {'relay beside the two after each other':42} {relay.a_second / both:11.2f} x")
            found = await bench.latencies(transport, seconds)
            print(
                f"  {'idle, commit to acknowledged and deleted':42} p50 {_at(found, 0.5):.1f} ms, "
                f"p99 {_at(found, 0.99):.1f} ms ({len(found)} events)"
            )
        finally:
            await transport.aclose()
            await bench.database.aclose()


def _at(found: Sequence[float], share: float) -> float:
    return found[min(len(found) - 1, int(len(found) * share))]


def _say(what: str, rate: Rate) -> None:
    print(f"  {what:42} {rate.a_second:11,.0f} rows/s {rate.cpu_us:8.1f} us of CPU each")


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relay")
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgresql"])
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of measuring latency")
    given = parser.parse_args()
    for name in cast("list[str]", given.databases):
        with bench_database(name) as (url, directory):
            asyncio.run(_measure(name, url, directory, given.rows, given.rounds, given.seconds))


if __name__ == "__main__":
    main()
