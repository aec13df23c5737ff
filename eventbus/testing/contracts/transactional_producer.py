"""
What every transport promises of writing in transactions; an implementation's test class derives from it as from
`TransportContract`.
"""

import time
import uuid
from collections.abc import Iterator, Sequence

import anyio
import pytest

from eventbus.errors import PublishRefused
from eventbus.testing.contracts.transport import outgoing, topic_name
from eventbus.transport import (
    IncomingRecord,
    OutgoingRecord,
    ProducerFenced,
    Published,
    PublishOutcome,
    TopicPartition,
    Transport,
)


async def committed(transport: Transport, topic: str, at_least: int = 0) -> list[IncomingRecord]:
    """
    All records of the topic that are committed, by partition. So many are waited for: a log may answer a commit before
    readers see it, as Apache Kafka does, which writes a transaction's markers afterwards.
    """
    while transport.away_seconds is not None:
        await anyio.sleep(0.02)
    with anyio.fail_after(30):
        while True:
            partitions = (await transport.describe([topic])).topics[topic].partitions
            if sum(one.end for one in partitions) >= at_least:
                found = await _read(transport, topic, [one.end for one in partitions])
                if len(found) >= at_least:
                    return found
            await anyio.sleep(0.02)


async def _read(transport: Transport, topic: str, ends: Sequence[int]) -> list[IncomingRecord]:
    reader = transport.reader({TopicPartition(topic, number): 0 for number in range(len(ends))})
    found: list[IncomingRecord] = []
    reached = [0] * len(ends)
    while any(at < end for at, end in zip(reached, ends, strict=True)):
        for batch in await reader.read():
            found += batch.records
            reached[batch.partition] = batch.next_offset
    await reader.aclose()
    return found


def numbers(records: Sequence[IncomingRecord], key: bytes = b"k") -> list[int]:
    return [int(record.value or b"-1") for record in records if record.key == key]


class LateHeaders(list[tuple[str, str | bytes]]):
    """No headers, which take so long to be read that the record before them has been sent and answered meanwhile."""

    def __iter__(self) -> Iterator[tuple[str, str | bytes]]:
        time.sleep(0.1)
        return super().__iter__()


class TransactionalProducerContract:
    """Tests for an implementation: give `transport`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def transactional_id(self) -> str:
        return f"eventbus.shop.{uuid.uuid4().hex[:8]}"

    @pytest.fixture
    async def topic(self, transport: Transport) -> str:
        """A topic with three partitions."""
        name = topic_name()
        await transport.ensure_topics({name: 3})
        return name

    async def test_batches_are_committed_in_order(
        self, transport: Transport, topic: str, transactional_id: str
    ) -> None:
        """Each outcome is where the record is, over several transactions, and records of a key keep their order."""
        producer = transport.transactional_producer(transactional_id)
        await producer.take_over()
        outcomes: list[PublishOutcome] = []
        for start in range(0, 500, 100):
            outcomes += await producer.publish(outgoing(topic, range(start, start + 100)))
        records = await committed(transport, topic, 500)
        assert numbers(records) == list(range(500))
        assert [(one.partition, one.offset) for one in outcomes if isinstance(one, Published)] == [
            (record.partition, record.offset) for record in records
        ]
        assert await producer.publish([]) == []
        await producer.aclose()

    async def test_headers_may_be_text(self, transport: Transport, topic: str, transactional_id: str) -> None:
        """Written as UTF-8, beside those that are bytes."""
        producer = transport.transactional_producer(transactional_id)
        await producer.take_over()
        await producer.publish(
            [OutgoingRecord(topic, b"k", b"1", [("text", "café"), ("bytes", b"\xff"), ("text", "")])]
        )
        (record,) = await committed(transport, topic, 1)
        assert list(record.headers) == [("text", "café".encode()), ("bytes", b"\xff"), ("text", b"")]
        await producer.aclose()

    async def test_who_is_taken_over_writes_no_more(
        self, transport: Transport, topic: str, transactional_id: str
    ) -> None:
        """The older producer is fenced, with words, and nothing of it becomes visible; it can take over again."""
        first = transport.transactional_producer(transactional_id)
        second = transport.transactional_producer(transactional_id)
        await first.take_over()
        await first.publish(outgoing(topic, [1]))
        await second.take_over()
        with pytest.raises(ProducerFenced, match=transactional_id):
            await first.publish(outgoing(topic, [2]))
        await second.publish(outgoing(topic, [3]))
        await first.take_over()
        await first.publish(outgoing(topic, [4]))
        with pytest.raises(ProducerFenced):
            await second.publish(outgoing(topic, [5]))
        assert numbers(await committed(transport, topic, 3)) == [1, 3, 4]
        await first.aclose()
        await second.aclose()

    async def test_publishing_without_having_taken_over_is_refused(
        self, transport: Transport, topic: str, transactional_id: str
    ) -> None:
        """Nobody would be fenced by it."""
        producer = transport.transactional_producer(transactional_id)
        with pytest.raises(ProducerFenced, match="not been taken over"):
            await producer.publish(outgoing(topic, [1]))
        await producer.aclose()

    async def test_a_refused_record_is_left_out_of_its_transaction(
        self, transport: Transport, topic: str, transactional_id: str
    ) -> None:
        """A record that the client or the log refuses, a topic that is not there: the others are committed."""
        missing = topic_name()
        records = [
            OutgoingRecord(topic, b"big", b"0", []),
            *outgoing(topic, [1]),
            OutgoingRecord(topic, b"big", b"x" * 3_000_000, []),
            OutgoingRecord(topic, b"big", b"later", []),
            OutgoingRecord(missing, b"k", b"nowhere", []),
            *outgoing(topic, [3]),
            OutgoingRecord(topic, None, b"without a key", []),
        ]
        producer = transport.transactional_producer(transactional_id)
        await producer.take_over()
        outcomes = await producer.publish(records)
        assert [type(outcome) for outcome in outcomes] == [
            Published,
            Published,
            PublishRefused,
            PublishRefused,
            PublishRefused,
            Published,
            Published,
        ]
        assert "too large" in str(outcomes[2])
        assert isinstance((await producer.publish([records[2]]))[0], PublishRefused)
        assert isinstance((await producer.publish(outgoing(topic, [4])))[0], Published)
        found = await committed(transport, topic, 5)
        assert numbers(found) == [1, 3, 4]
        assert numbers(found, b"big") == [0]
        assert len(found) == 5
        await producer.aclose()

    async def test_a_record_is_refused_while_later_ones_are_on_their_way_to_the_client(
        self, transport: Transport, topic: str, transactional_id: str
    ) -> None:
        """Also where the refusal arrives in the middle of a batch all others are committed, in their order."""
        producer = transport.transactional_producer(transactional_id)
        await producer.take_over()
        outcomes = await producer.publish(
            [
                OutgoingRecord(topic, b"big", b"0", []),
                OutgoingRecord(topic, b"big", b"x" * 3_000_000, []),
                OutgoingRecord(topic, b"big", b"2", LateHeaders()),
                *outgoing(topic, [1, 3, 5]),
                OutgoingRecord(topic, b"big", b"later", []),
            ]
        )
        assert [type(outcome) for outcome in outcomes] == [
            Published,
            PublishRefused,
            PublishRefused,
            Published,
            Published,
            Published,
            PublishRefused,
        ]
        found = await committed(transport, topic, 4)
        assert numbers(found) == [1, 3, 5]
        assert numbers(found, b"big") == [0]
        await producer.aclose()
