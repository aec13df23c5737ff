"""
What every transport promises of a broker that goes away and comes back. Beside `transport`, give `log`, which takes the
broker away and gives it back with all that was in it.
"""

import asyncio
import logging
import uuid
from typing import Protocol

import anyio
import pytest

from eventbus.errors import BrokerUnavailable
from eventbus.testing.contracts.transactional_producer import committed, numbers
from eventbus.testing.contracts.transport import begun, nothing_in_flight, outgoing, records_of, topic_name, until
from eventbus.transport import Published, Round, TopicPartition, Transport


class LogServer(Protocol):
    """The broker behind the transport."""

    def kill(self) -> None: ...
    def start(self) -> object: ...


class _AbsenceContract:
    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def group(self) -> str:
        """A group of this test's own."""
        return f"group-{uuid.uuid4().hex[:8]}"

    @pytest.fixture
    def transactional_id(self) -> str:
        return f"eventbus.shop.{uuid.uuid4().hex[:8]}"

    @pytest.fixture
    async def topic(self, transport: Transport) -> str:
        """A topic with three partitions."""
        name = topic_name()
        await transport.ensure_topics({name: 3})
        return name


class TransportAbsenceContract(_AbsenceContract):
    """Tests for an implementation: give `transport` and `log`."""

    async def test_the_brokers_absence_is_waited_for_and_said_once(
        self, transport: Transport, topic: str, group: str, log: LogServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Publishing waits and succeeds, reading goes on after a doubtful round, and nothing is lost or doubled."""
        producer = transport.producer()
        consumer = transport.consumer(group, [topic], instance_id="one", revoked=nothing_in_flight)
        await begun(consumer)
        await producer.publish(outgoing(topic, range(5)))
        found = await records_of(consumer, 5)
        doubts: list[Round] = []
        published: list[object] = []

        async def read() -> None:
            while len(found) < 10:
                one = await consumer.receive()
                if one.doubtful:
                    doubts.append(one)
                if one.assigned:
                    # An absence that is longer than the session ends in a new assignment.
                    places = {TopicPartition(record.topic, record.partition): record.offset + 1 for record in found}
                    consumer.read_from({place: places.get(place, 0) for place in one.assigned})
                found.extend(record for batch in one.batches for record in batch.records)

        async def publish() -> None:
            published.extend(await producer.publish(outgoing(topic, range(5, 10))))

        with caplog.at_level(logging.INFO, "eventbus.transport"), anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                log.kill()
                tasks.start_soon(read)
                await asyncio.sleep(0.5)
                tasks.start_soon(publish)
                await until(lambda: transport.away_seconds is not None)
                with pytest.raises(BrokerUnavailable):
                    await transport.describe([topic])
                await asyncio.sleep(2)
                assert not published
                log.start()
            await until(lambda: transport.away_seconds is None)
        assert all(isinstance(outcome, Published) for outcome in published)
        assert [record.value for record in found] == [b"%d" % number for number in range(10)]
        assert doubts
        said = [record.getMessage() for record in caplog.records if record.name == "eventbus.transport"]
        assert len([words for words in said if "is away" in words]) == 1
        assert len([words for words in said if "is back" in words]) == 1
        await consumer.aclose()
        await producer.aclose()

    async def test_closing_gives_up_what_waits_for_the_broker(
        self, transport: Transport, topic: str, log: LogServer
    ) -> None:
        """A publish that nobody can answer ends as BrokerUnavailable, within seconds."""
        producer = transport.producer()
        await producer.publish(outgoing(topic, [0]))
        log.kill()
        outcomes: list[object] = []

        async def publish() -> None:
            outcomes.extend(await producer.publish(outgoing(topic, [1])))

        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(publish)
                await asyncio.sleep(0.3)
                await producer.aclose()
        assert isinstance(outcomes[0], BrokerUnavailable)
        log.start()


class TransactionalProducerAbsenceContract(_AbsenceContract):
    """The same for writing in transactions: give `transport` and `log`."""

    async def test_a_transaction_waits_for_an_absent_broker(
        self, transport: Transport, log: LogServer, topic: str, transactional_id: str
    ) -> None:
        """What is published while it is away is there once when it is back."""
        producer = transport.transactional_producer(transactional_id)
        await producer.take_over()
        await producer.publish(outgoing(topic, [1]))
        log.kill()
        async with anyio.create_task_group() as tasks:

            async def publish() -> None:
                outcomes = await producer.publish(outgoing(topic, [2, 3]))
                assert all(isinstance(outcome, Published) for outcome in outcomes), outcomes

            tasks.start_soon(publish)
            await anyio.sleep(1.0)
            log.start()
        with anyio.fail_after(60):
            while (found := numbers(await committed(transport, topic))) != [1, 2, 3]:
                assert found in ([1], [1, 2, 3]), found
        await producer.aclose()

    async def test_closing_gives_up_what_waits_for_the_broker(
        self, transport: Transport, log: LogServer, topic: str, transactional_id: str
    ) -> None:
        """In time, and leaves no transaction that readers wait behind once the id has been taken over."""
        producer = transport.transactional_producer(transactional_id)
        await producer.take_over()
        log.kill()
        with anyio.move_on_after(0.3):
            await producer.publish(outgoing(topic, [1]))
        with anyio.fail_after(30):
            await producer.aclose()
        log.start()
        successor = transport.transactional_producer(transactional_id)
        await successor.take_over()
        await successor.publish(outgoing(topic, [2]))
        assert numbers(await committed(transport, topic, 1)) == [2]
        await successor.aclose()
