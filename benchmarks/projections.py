"""
How fast a view catches up with the log, and how fast it is rebuilt, beside a raw loop over the same records.

    python -m benchmarks.projections [--events 90000] [--profile] [sqlite] [postgresql]

Raw        confluent-kafka's consume(1000) in a worker thread, headers to a dict, pydantic's validate_json: nothing is
           written
Catch up   a row projection that was never started reads its topic from the first offset, as a service does it:
           consumer group, checkpoint, stream versions, rows, each batch one transaction
Rebuild    `Rebuild.run` beside it: filled from the first offset of every partition, compared row by row, switched

An order has three events, which come one after the other with those of a hundred other orders in between; the topic
has six partitions. The log is the embedded broker; PostgreSQL is a server of its own (the wheel's) with fsync on;
SQLite has synchronous=FULL. CPU is that of this process. Every figure is of rows that were counted afterwards.
"""

import argparse
import asyncio
import cProfile
import os
import pstats
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final, cast
from urllib.parse import urlsplit

import anyio
import asyncpg
from confluent_kafka import Consumer as RawConsumer
from confluent_kafka import Message, TopicPartition
from confluent_kafka import Producer as RawProducer

from benchmarks.databases import bench_database
from benchmarks.rate import Rate
from eventbus.clock import SystemClock
from eventbus.database import Checkpoints, Database, Migrations
from eventbus.delivery import Consumer
from eventbus.embedded import joined
from eventbus.messages import Envelope, Event
from eventbus.projections import ProjectionRunner, Rebuild, Row, RowProjection, View, prepare_projections, projects
from eventbus.projections.runner import VIEW_AHEAD_RECORDS
from eventbus.serialization import encode
from eventbus.serialization.types import MessageTypes
from eventbus.store import new_event_id
from eventbus.transport import KafkaTransport

PARTITIONS: Final = 6
TOPIC: Final = "orders"
_AT_ONCE: Final = 100


class OrderPlaced(Event):
    order_id: str
    customer_id: str
    total: Decimal


class OrderPaid(Event):
    order_id: str
    payment_id: str


class OrderShipped(Event):
    order_id: str
    carrier: str


class OrderSummary(Row, key="order_id"):
    order_id: str
    customer_id: str
    status: str
    total: Decimal


class OrderSummaries(RowProjection[OrderSummary], topics=[TOPIC]):
    @projects(OrderPlaced)
    def placed(self, row: OrderSummary | None, event: OrderPlaced) -> OrderSummary:
        return OrderSummary(order_id=event.order_id, customer_id=event.customer_id, status="placed", total=event.total)

    @projects(OrderPaid)
    def paid(self, row: OrderSummary | None, event: OrderPaid) -> OrderSummary | None:
        return row and row.replace(status="paid")

    @projects(OrderShipped)
    def shipped(self, row: OrderSummary | None, event: OrderShipped) -> OrderSummary | None:
        return row and row.replace(status="shipped")


_TYPES: Final = MessageTypes([OrderPlaced, OrderPaid, OrderShipped])


def fill(address: str, events: int, first: int = 0) -> None:
    """Three events an order, as a service of ours publishes them; those before *first* are there."""
    producer = RawProducer({"bootstrap.servers": address, "linger.ms": 5, "partitioner": "murmur2_random"})
    for start in range(first // 3, events // 3, _AT_ONCE):
        for version in range(1, 4):
            for number in range(start, min(start + _AT_ONCE, events // 3)):
                _produce(producer, number, version)
        producer.poll(0)
    assert producer.flush(60) == 0


def _produce(producer: RawProducer, number: int, version: int) -> None:
    key = f"o-{number}"
    event: Event
    if version == 1:
        event = OrderPlaced(order_id=key, customer_id=f"c-{number % 997}", total=Decimal(number) / 100)
    elif version == 2:
        event = OrderPaid(order_id=key, payment_id=f"p-{number}")
    else:
        event = OrderShipped(order_id=key, carrier="by land")
    id, now = new_event_id(), datetime.now(UTC)
    kind = type(event).message_name
    envelope = Envelope(id, kind, 1, "shop", now, key, f"Order-{key}", version, id, id, None)
    producer.produce(TOPIC, encode(event), key, headers=list(envelope.headers()))


async def another_database(url: str, name: str) -> str:
    """An empty database beside the one of *url*."""
    if url.startswith("sqlite"):
        return f"{url}-{name}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    return urlsplit(url)._replace(path=f"/{name}").geturl()


async def timed(events: int, work: Callable[[], Awaitable[None]]) -> Rate:
    """Of *work* that takes that many events."""
    begun, cpu = time.perf_counter(), time.process_time()
    await work()
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu
    return Rate(events / seconds, cpu_seconds / events * 1e6)


async def raw_loop(address: str, events: int) -> None:
    """Every event decoded, nothing written."""
    options: dict[str, str | int | float | bool] = {
        "bootstrap.servers": address,
        "group.id": "raw",
        "enable.auto.commit": False,
        "fetch.queue.backoff.ms": 2,
        "isolation.level": "read_committed",
    }
    consumer = RawConsumer(options)
    consumer.assign([TopicPartition(TOPIC, number, 0) for number in range(PARTITIONS)])
    classes = {event.message_name.encode(): event for event in _TYPES}
    seen = 0
    while seen < events:
        messages: list[Message] = await asyncio.to_thread(consumer.consume, 1000, 1.0)
        for message in messages:
            if message.error() is not None:
                continue
            headers = dict(cast("Sequence[tuple[str, bytes]]", message.headers() or ()))
            classes[headers["ce_type"]].model_validate_json(message.value() or b"")
            seen += 1
    consumer.close()


async def catch_up(transport: KafkaTransport, database: Database, events: int, service: str = "shop") -> None:
    """A view that has read nothing yet, until it has read all."""
    runner = ProjectionRunner(OrderSummaries, service=service, database=database, types=_TYPES)
    # As an application makes it.
    consumer = Consumer(transport, runner, batch_size=runner.batch_size, waiting_max=VIEW_AHEAD_RECORDS)
    async with anyio.create_task_group() as tasks:
        await tasks.start(consumer.run)
        while await _position(database) < events:  # noqa: ASYNC110 (the consumer has no event for what is measured)
            await asyncio.sleep(0.05)
        await consumer.stop()


async def _position(database: Database) -> int:
    async with database.reading() as connection:
        found = await Checkpoints().read(connection, OrderSummaries.projection_name, 1)
    return sum(checkpoint.next_offset or 0 for checkpoint in found)


async def rebuild(transport: KafkaTransport, database: Database) -> None:
    """A new generation beside the live one, compared and switched to."""
    result = await Rebuild(OrderSummaries, database=database, transport=transport, types=_TYPES).run()
    assert result.rows_compared


async def _measure(name: str, url: str, directory: Path, events: int, *, profiled: bool) -> None:
    database = Database.from_url(url)
    async with joined(directory / f"log-{name}", "bench") as member:
        transport = KafkaTransport(member.address)
        await transport.start()
        try:
            await Migrations(database).upgrade()
            await prepare_projections(database, [OrderSummaries], SystemClock())
            await transport.ensure_topics({TOPIC: PARTITIONS})
            fill(member.address, events)
            print(f"\n{name}: load average {os.getloadavg()[0]:.1f}, {events} events, {PARTITIONS} partitions")
            raw = await timed(events, lambda: raw_loop(member.address, events))
            _say("raw loop", raw)
            with _profile(profiled):
                _say("catching up", await timed(events, lambda: catch_up(transport, database, events)), raw)
            with _profile(profiled):
                _say("rebuild", await timed(events, lambda: rebuild(transport, database)), raw)
            assert await View(OrderSummaries, database).count(status="shipped") == events // 3
        finally:
            await transport.aclose()
            await database.aclose()


class _profile:  # noqa: N801  a context, read as a verb
    def __init__(self, wanted: bool) -> None:
        self._profile = cProfile.Profile() if wanted else None

    def __enter__(self) -> None:
        if self._profile is not None:
            self._profile.enable()

    def __exit__(self, *_: object) -> None:
        if self._profile is not None:
            self._profile.disable()
            pstats.Stats(self._profile).sort_stats("tottime").print_stats(30)


def _say(what: str, rate: Rate, raw: Rate | None = None) -> None:
    ratio = f"  {rate.a_second / raw.a_second:.2f} x raw" if raw else ""
    print(f"  {what:20} {rate.a_second:11,.0f} events/s {rate.cpu_us:8.1f} us of CPU each{ratio}")


def main() -> None:
    """Run what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.projections")
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgresql"])
    parser.add_argument("--events", type=int, default=90_000)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    for name in cast("list[str]", given.databases):
        with bench_database(name) as (url, directory):
            asyncio.run(_measure(name, url, directory, given.events, profiled=given.profile))


if __name__ == "__main__":
    main()
