import asyncio
import logging
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from confluent_kafka.admin import AdminClient

from eventbus.database import Database, LogPartition, Migrations
from eventbus.delivery import Consumer
from eventbus.delivery.event_claim import EventClaim
from eventbus.delivery.event_delivery import EventDelivery
from eventbus.errors import DatabaseUnavailable
from eventbus.handlers import handles
from eventbus.store import UnitOfWork
from eventbus.transport import IncomingRecord, KafkaTransport
from tests.eventbus.delivery.log import pay
from tests.eventbus.delivery.service import Paid, delivery, effects_in, make_effects_table, take_effect
from tests.servers.logs import Log

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """On SQLite alone: what differs between the databases is tested with the delivery."""
    database = Database.from_url(f"sqlite:///{tmp_path}/shop.sqlite3")
    await Migrations(database).upgrade()
    await make_effects_table(database)
    yield database
    await database.aclose()


@pytest.fixture
def service() -> str:
    """A service's name, and so a consumer group, of this test's own."""
    return f"shop-{uuid.uuid4().hex[:8]}"


@handles(Paid)
async def take(event: Paid, work: UnitOfWork) -> None:
    await take_effect(work, event.number)


@asynccontextmanager
async def consuming(*consumers: Consumer) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        for consumer in consumers:
            await tasks.start(consumer.run)
        yield
        for consumer in consumers:
            await consumer.stop()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    with anyio.fail_after(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


async def test_every_event_takes_effect_once_over_a_restart(
    transport: KafkaTransport, topic: str, database: Database, service: str
) -> None:
    """A consumer that stops and another that begins: nothing is skipped, nothing is handled twice."""
    await pay(transport, topic, range(1000))
    async with consuming(Consumer(transport, delivery(database, take, service=service, topic=topic))):
        await until(lambda: effects_are(database, 1000))
    await pay(transport, topic, range(1000, 1500))
    async with consuming(Consumer(transport, delivery(database, take, service=service, topic=topic))):
        await until(lambda: effects_are(database, 1500))
        await asyncio.sleep(0.3)
    assert sorted(await effects_in(database)) == list(range(1500))


async def effects_are(database: Database, count: int) -> bool:
    return len(await effects_in(database)) >= count


@pytest.mark.kills_the_log
async def test_the_brokers_death_is_survived_and_nothing_is_lost_or_doubled(
    log: Log, transport: KafkaTransport, topic: str, database: Database, service: str
) -> None:
    """Killed in the middle and started again: the checkpoints are claimed again, and delivery goes on."""
    await pay(transport, topic, range(3000))
    consumer = Consumer(transport, delivery(database, take, service=service, topic=topic), instance_id="one")
    async with consuming(consumer):
        await until(lambda: effects_are(database, 200))
        log.kill()
        await asyncio.sleep(1.5)
        log.start()
        await pay(transport, topic, range(3000, 3100))
        await until(lambda: effects_are(database, 3100))
        assert consumer.status().state == "running"
    assert sorted(await effects_in(database)) == list(range(3100))


@pytest.mark.kills_the_log
async def test_a_consumer_begins_before_its_broker(log: Log, database: Database, service: str) -> None:
    """It waits, says so in its status, and goes on when the broker is there."""
    log.kill()
    topic = f"payments-{uuid.uuid4().hex[:8]}"
    transport = KafkaTransport(log.bootstrap)
    await transport.start()
    consumer = Consumer(transport, delivery(database, take, service=service, topic=topic))
    try:
        async with consuming(consumer):
            await until(lambda: in_state(consumer, "waiting for the broker"))
            await anyio.to_thread.run_sync(log.start)
            await transport.ensure_topics({topic: 3})
            await pay(transport, topic, range(10))
            await until(lambda: effects_are(database, 10))
    finally:
        await transport.aclose()


async def in_state(consumer: Consumer, state: str) -> bool:
    return consumer.status().state == state


async def test_two_consumers_share_the_work_and_one_takes_over(
    transport: KafkaTransport, topic: str, database: Database, service: str
) -> None:
    """Each has partitions of its own; when one stops, the other one handles everything, from where it had come."""
    first, second = (Consumer(transport, delivery(database, take, service=service, topic=topic)) for _ in range(2))
    async with anyio.create_task_group() as tasks:
        await tasks.start(first.run)
        await tasks.start(second.run)

        async def both_have_some() -> bool:
            return bool(first.status().partitions) and bool(second.status().partitions)

        await until(both_have_some)
        assert len(first.status().partitions) + len(second.status().partitions) == 3
        await pay(transport, topic, range(300))
        await until(lambda: effects_are(database, 300))
        await first.stop()
        await pay(transport, topic, range(300, 600))
        await until(lambda: effects_are(database, 600))
        await second.stop()
    assert sorted(await effects_in(database)) == list(range(600))


async def test_a_consumer_without_partitions_stands_by(
    transport: KafkaTransport, database: Database, service: str
) -> None:
    """It is running, as far as readiness goes, and takes over when the other one leaves."""
    topic = f"payments-{uuid.uuid4().hex[:8]}"
    await transport.ensure_topics({topic: 1})
    first, second = (Consumer(transport, delivery(database, take, service=service, topic=topic)) for _ in range(2))
    async with anyio.create_task_group() as tasks:
        await tasks.start(first.run)
        await until(lambda: in_state(first, "running"))
        await tasks.start(second.run)
        await until(lambda: in_state(second, "running"))

        async def one_has_it() -> bool:
            return sorted([len(first.status().partitions), len(second.status().partitions)]) == [0, 1]

        # The first one's partition is taken from it for the time of the rebalance.
        await until(one_has_it)
        await first.stop()
        await pay(transport, topic, [1])
        await until(lambda: effects_are(database, 1))
        await second.stop()


async def test_a_fenced_consumer_claims_again_and_repeats_nothing(
    transport: KafkaTransport, topic: str, database: Database, service: str
) -> None:
    """Another process claims all partitions behind its back: its batch is rolled back, then applied again."""
    await pay(transport, topic, range(100))
    subject = delivery(database, take, service=service, topic=topic)
    async with consuming(Consumer(transport, subject)):
        await until(lambda: effects_are(database, 100))
        described = await transport.describe([topic])
        for number in range(3):
            place = LogPartition(described.cluster_id, topic, described.topics[topic].topic_id, number)
            await subject.claim(place, 0, 1000)
        await pay(transport, topic, range(100, 200))
        await until(lambda: effects_are(database, 200))
    assert sorted(await effects_in(database)) == list(range(200))


class Stranded:
    """A delivery whose database goes away after some batches, for as long as `away` says."""

    def __init__(self, inner: EventDelivery) -> None:
        self.inner = inner
        self.away = False
        self.refused = 0
        self.name, self.group_id, self.topics = inner.name, inner.group_id, inner.topics

    async def claim(self, log: LogPartition, start: int, end: int) -> EventClaim:
        self._refuse()
        return await self.inner.claim(log, start, end)

    async def apply(self, claim: EventClaim, records: Sequence[IncomingRecord], next_offset: int) -> None:
        self._refuse()
        await self.inner.apply(claim, records, next_offset)

    async def release(self, claim: EventClaim) -> None:
        await self.inner.release(claim)

    def _refuse(self) -> None:
        if self.away:
            self.refused += 1
            raise DatabaseUnavailable("the server is restarting")


async def test_an_absent_database_pauses_the_consumer_and_skips_nothing(
    transport: KafkaTransport, topic: str, database: Database, service: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays in the group, tries again with backoff, says once that it waits, and goes on."""
    subject = Stranded(delivery(database, take, service=service, topic=topic))
    consumer = Consumer(transport, subject, waiting_max=50)
    subject.away = True
    with caplog.at_level(logging.INFO, "eventbus.delivery"):
        async with consuming(consumer):
            await pay(transport, topic, range(500))
            await until(lambda: in_state(consumer, "waiting for the database"))
            subject.away = False
            await until(lambda: effects_are(database, 100))
            subject.away = True
            await pay(transport, topic, range(500, 600))
            await until(lambda: in_state(consumer, "waiting for the database"))
            await asyncio.sleep(1.5)
            refused, subject.refused = subject.refused, 0
            assert refused < 60
            subject.away = False
            await until(lambda: effects_are(database, 600))
    assert sorted(await effects_in(database)) == list(range(600))
    said = [one.getMessage() for one in caplog.records if "database is away" in one.getMessage()]
    assert 1 <= len(said) <= 2


@pytest.mark.kills_the_log
async def test_another_log_under_the_same_address_stops_the_consumer_with_the_way_out(
    log: Log,
    transport: KafkaTransport,
    topic: str,
    database: Database,
    service: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """All that was kept has been removed: no event of the new log takes effect, and the status says why."""
    await pay(transport, topic, range(10))
    consumer = Consumer(transport, delivery(database, take, service=service, topic=topic), instance_id="one")
    async with consuming(consumer):
        await until(lambda: effects_are(database, 10))
        await anyio.to_thread.run_sync(log.replace)
        await transport.ensure_topics({topic: 3})
        await pay(transport, topic, range(100, 130))
        await until(lambda: in_state(consumer, "stopped"))
    reason = consumer.status().reason or ""
    assert "cluster" in reason
    assert "empty database" in reason
    assert "has stopped" in caplog.text
    assert sorted(await effects_in(database)) == list(range(10))


async def test_stopping_finishes_the_batch_in_flight(
    transport: KafkaTransport, topic: str, database: Database, service: str
) -> None:
    """A handler that has begun ends, its effect and checkpoint are committed."""
    begun = anyio.Event()

    @handles(Paid)
    async def slow(event: Paid, work: UnitOfWork) -> None:
        begun.set()
        await asyncio.sleep(0.5)
        await take_effect(work, event.number)

    await pay(transport, topic, [1])
    async with consuming(Consumer(transport, delivery(database, slow, service=service, topic=topic))):
        await begun.wait()
    assert await effects_in(database) == [1]


async def test_stopping_abandons_what_takes_too_long_and_leaves_it_to_the_next(
    transport: KafkaTransport, topic: str, database: Database, service: str
) -> None:
    """A handler that does not end is cancelled and rolled back; its event is handled by the next consumer."""
    begun = anyio.Event()

    @handles(Paid)
    async def stuck(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number)
        begun.set()
        await asyncio.sleep(60)

    await pay(transport, topic, [1])
    stuck_consumer = Consumer(transport, delivery(database, stuck, service=service, topic=topic), shutdown_seconds=0.3)
    with anyio.fail_after(30):
        async with consuming(stuck_consumer):
            await begun.wait()
    assert await effects_in(database) == []
    async with consuming(Consumer(transport, delivery(database, take, service=service, topic=topic))):
        await until(lambda: effects_are(database, 1))


async def test_stopping_abandons_a_plain_function_that_hangs(
    transport: KafkaTransport, topic: str, database: Database, service: str
) -> None:
    """A thread cannot be cancelled; the stop ends in time all the same, and the event is there for the next one."""
    begun, release = anyio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @handles(Paid)
    def hanging(event: Paid) -> None:
        loop.call_soon_threadsafe(begun.set)
        release.wait(30)

    await pay(transport, topic, [1])
    hanging_consumer = Consumer(
        transport, delivery(database, hanging, service=service, topic=topic), shutdown_seconds=0.3
    )
    with anyio.fail_after(30):
        async with consuming(hanging_consumer):
            await begun.wait()
    release.set()
    async with consuming(Consumer(transport, delivery(database, take, service=service, topic=topic))):
        await until(lambda: effects_are(database, 1))


@pytest.mark.parametrize("bound", [{"waiting_max": 100}, {"waiting_bytes_max": 10_000}], ids=["records", "bytes"])
async def test_slow_handlers_keep_memory_and_membership(
    transport: KafkaTransport, topic: str, database: Database, service: str, bound: dict[str, int]
) -> None:
    """What is read ahead stays bounded, by count and by bytes, while the consumer attends to its group."""

    @handles(Paid)
    async def slow(event: Paid, work: UnitOfWork) -> None:
        await asyncio.sleep(0.01)
        await take_effect(work, event.number)

    await pay(transport, topic, range(5000))
    subject = delivery(database, slow, service=service, topic=topic)
    consumer = Consumer(
        transport,
        subject,
        batch_max=20,
        waiting_max=bound.get("waiting_max", 4000),
        waiting_bytes_max=bound.get("waiting_bytes_max", 1 << 24),
    )
    async with consuming(consumer):
        await until(lambda: effects_are(database, 60))
        assert sum(partition.waiting for partition in consumer.status().partitions) <= 1200


async def delete(log: Log, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": log.bootstrap})
    for deleted in admin.delete_topics([topic]).values():
        await anyio.to_thread.run_sync(deleted.result, 10)


async def test_a_deleted_topic_stops_its_consumer_and_the_others_go_on(
    log: Log, transport: KafkaTransport, topic: str, database: Database, service: str
) -> None:
    """The status says what is gone; made anew after that, nothing of the new topic takes effect."""
    other = f"{topic}-other"
    await transport.ensure_topics({other: 1})
    await pay(transport, topic, range(10))
    stopping = Consumer(transport, delivery(database, take, service=service, topic=topic))
    going_on = Consumer(transport, delivery(database, take, service=f"{service}-2", topic=other))
    async with consuming(stopping, going_on):
        await until(lambda: effects_are(database, 10))
        await delete(log, topic)
        await until(lambda: in_state(stopping, "stopped"))
        assert "is not in the log" in (stopping.status().reason or "")
        await transport.ensure_topics({topic: 3})
        await pay(transport, topic, range(100, 130))
        await pay(transport, other, [1000])
        await until(lambda: effects_are(database, 11))
        assert going_on.status().state == "running"
    assert sorted(await effects_in(database)) == [*range(10), 1000]
    again = Consumer(transport, delivery(database, take, service=service, topic=topic))
    async with consuming(again):
        await until(lambda: in_state(again, "stopped"))
    assert "empty database" in (again.status().reason or "")


async def test_a_topic_that_is_deleted_and_made_anew_at_once_stops_its_consumer(
    log: Log, transport: KafkaTransport, topic: str, database: Database, service: str
) -> None:
    """librdkafka goes on with the new topic as if nothing had happened: the watch finds it out."""
    await pay(transport, topic, range(10))
    consumer = Consumer(transport, delivery(database, take, service=service, topic=topic))
    async with consuming(consumer):
        await until(lambda: effects_are(database, 10))
        await delete(log, topic)
        await transport.ensure_topics({topic: 3})
        await until(lambda: in_state(consumer, "stopped"))
    assert "topic id" in (consumer.status().reason or "") or "is not in the log" in (consumer.status().reason or "")
