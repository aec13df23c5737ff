"""
What every transport promises. An implementation's test class derives from `TransportContract` and gives the fixture
`transport`, started; the tests use topics and groups of their own.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import anyio
import pytest

from eventbus.errors import ForeignLog, InvalidConfiguration, PublishRefused
from eventbus.transport import (
    ConsumerStopped,
    IncomingRecord,
    OutgoingRecord,
    PartitionBatch,
    Published,
    RecordConsumer,
    TopicPartition,
    Transport,
)
from eventbus.transport.partitioning import partition_of

_Name = TypeVar("_Name")


def topic_name() -> str:
    return f"topic-{uuid.uuid4().hex[:8]}"


def outgoing(topic: str, numbers: Sequence[int], key: str | None = "k") -> list[OutgoingRecord]:
    return [
        OutgoingRecord(
            topic,
            None if key is None else key.encode(),
            b"%d" % number,
            [("ce_id", b"%d" % number), ("x", b"\x00\xff")],
        )
        for number in numbers
    ]


async def nothing_in_flight(_: frozenset[TopicPartition]) -> None:
    """What a consumer with nothing in flight does when partitions are revoked."""


async def follow(member: RecordConsumer, shares: dict[_Name, frozenset[TopicPartition]], name: _Name) -> None:
    """Keeps under *name* in *shares* which partitions *member* has, until it is cancelled."""
    while True:
        found = await member.receive(records=False)
        if found.assigned is not None:
            shares[name] = found.assigned


async def begun(
    consumer: RecordConsumer, start: Mapping[TopicPartition, int] | None = None
) -> frozenset[TopicPartition]:
    """Waits for an assignment and reads it from *start*, or from 0."""
    with anyio.fail_after(60):
        while not (assigned := (await consumer.receive()).assigned):
            pass
    consumer.read_from({partition: (start or {}).get(partition, 0) for partition in assigned})
    return assigned


async def records_of(consumer: RecordConsumer, count: int) -> list[IncomingRecord]:
    found: list[IncomingRecord] = []
    with anyio.fail_after(60):
        while len(found) < count:
            for batch in (await consumer.receive()).batches:
                found += batch.records
    return found


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not condition():
            await asyncio.sleep(0.02)


class TransportContract:
    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def group(self) -> str:
        """A group of this test's own: a static member stays in one for a while after it has gone."""
        return f"group-{uuid.uuid4().hex[:8]}"

    @pytest.fixture
    async def topic(self, transport: Transport) -> str:
        """A topic with three partitions."""
        name = topic_name()
        await transport.ensure_topics({name: 3})
        return name

    async def test_what_is_published_is_read_as_it_was(self, transport: Transport, topic: str, group: str) -> None:
        """Key, value, headers with any bytes, null values, and the position that publishing has answered."""
        producer = transport.producer()
        records = [*outgoing(topic, [1]), OutgoingRecord(topic, b"k", None, []), OutgoingRecord(topic, b"", b"", [])]
        outcomes = await producer.publish(records)
        consumer = transport.consumer(group, [topic], instance_id=None, revoked=nothing_in_flight)
        await begun(consumer)
        found = await records_of(consumer, 3)
        by_place = {(record.partition, record.offset): record for record in found}
        for sent, outcome in zip(records, outcomes, strict=True):
            assert isinstance(outcome, Published)
            read = by_place[outcome.partition, outcome.offset]
            assert (read.topic, read.key, read.value, list(read.headers)) == (
                topic,
                sent.key,
                sent.value,
                list(sent.headers),
            )
            assert abs(read.timestamp_ms / 1000 - time.time()) < 60
        await consumer.aclose()
        await producer.aclose()

    async def test_records_of_a_key_keep_their_order_in_the_partition_of_the_key(
        self, transport: Transport, topic: str, group: str
    ) -> None:
        """Within a call and across calls, among concurrent calls for other keys; partitions as in the Java client."""
        producer = transport.producer()

        async def publish(key: str) -> None:
            for start in range(0, 200, 20):
                outcomes = await producer.publish(outgoing(topic, range(start, start + 20), key))
                for outcome in outcomes:
                    assert isinstance(outcome, Published)
                    assert outcome.partition == partition_of(key.encode(), 3)

        async with anyio.create_task_group() as tasks:
            for key in "abcdef":
                tasks.start_soon(publish, key)
        consumer = transport.consumer(group, [topic], instance_id=None, revoked=nothing_in_flight)
        await begun(consumer)
        by_key: dict[bytes | None, list[int]] = {}
        for record in await records_of(consumer, 6 * 200):
            by_key.setdefault(record.key, []).append(int(record.value or b""))
        assert by_key == {key.encode(): list(range(200)) for key in "abcdef"}
        await consumer.aclose()
        await producer.aclose()

    async def test_a_refused_record_holds_back_its_key_and_nobody_else(self, transport: Transport, topic: str) -> None:
        """Too large: refused with words, as are the later ones of its key in the call; other keys are written."""
        producer = transport.producer()
        huge = OutgoingRecord(topic, b"a", b"x" * 20_000_000, [])
        outcomes = await producer.publish([huge, *outgoing(topic, [2], "a"), *outgoing(topic, [3], "b")])
        assert isinstance(outcomes[0], PublishRefused)
        assert isinstance(outcomes[1], PublishRefused)
        assert isinstance(outcomes[2], Published)
        assert topic in str(outcomes[0])
        assert all(isinstance(outcome, Published) for outcome in await producer.publish(outgoing(topic, [4], "a")))
        await producer.aclose()

    async def test_topics_are_made_once_and_kept_for_ever(
        self, transport: Transport, topic: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Another number of partitions is one warning, not an error, and changes nothing."""
        with caplog.at_level(logging.WARNING, "eventbus.transport"):
            await transport.ensure_topics({topic: 5})
            await transport.ensure_topics({topic: 5})
        assert len(caplog.records) == 1
        assert "3 partitions, not the 5" in caplog.text
        found = await transport.describe([topic, "no-such-topic"])
        assert set(found.topics) == {topic}
        assert len(found.topics[topic].partitions) == 3

    async def test_a_name_that_no_topic_can_have_is_refused_with_words(self, transport: Transport) -> None:
        """Waiting would not help."""
        with anyio.fail_after(30), pytest.raises(InvalidConfiguration, match="no topic"):
            await transport.ensure_topics({"no topic": 1})

    async def test_describe_tells_identities_and_offset_ranges(self, transport: Transport, topic: str) -> None:
        """Start and end of each partition; ids that are the same at each call."""
        producer = transport.producer()
        await producer.publish(outgoing(topic, range(10), "k"))
        first, second = await transport.describe([topic]), await transport.describe([topic])
        assert first == second
        assert first.cluster_id
        ranges = first.topics[topic].partitions
        assert [(one.start, one.end) for one in ranges] == [
            (0, 10 if number == partition_of(b"k", 3) else 0) for number in range(3)
        ]
        await producer.aclose()

    async def test_reading_begins_where_the_caller_says(self, transport: Transport, topic: str, group: str) -> None:
        """Not at the group's offset, not at a reset rule's; and again elsewhere when told so."""
        producer = transport.producer()
        await producer.publish(outgoing(topic, range(10), "k"))
        place = TopicPartition(topic, partition_of(b"k", 3))
        consumer = transport.consumer(group, [topic], instance_id=None, revoked=nothing_in_flight)
        await begun(consumer, {place: 4})
        assert [record.offset for record in await records_of(consumer, 6)] == list(range(4, 10))
        number = consumer.read_from({place: 8})
        again: list[PartitionBatch] = []
        with anyio.fail_after(60):
            # The same round may bring news of the other partitions, which go on under their number.
            while sum(len(batch.records) for batch in again) < 2:
                again += [batch for batch in (await consumer.receive()).batches if batch.reading == number]
        assert [record.offset for batch in again for record in batch.records] == [8, 9]
        assert {batch.partition for batch in again} == {place.partition}
        assert again[-1].next_offset == 10
        await consumer.aclose()
        await producer.aclose()

    async def test_two_members_share_the_partitions_and_one_takes_over(
        self, transport: Transport, topic: str, group: str
    ) -> None:
        """Given up is, after an announcement, only what goes to another; everything goes to who is left."""
        given_up: list[frozenset[TopicPartition]] = []

        async def revoked(partitions: frozenset[TopicPartition]) -> None:
            given_up.append(partitions)

        first = transport.consumer(group, [topic], instance_id=None, revoked=revoked)
        everything = await begun(first)
        assert len(everything) == 3
        second = transport.consumer(group, [topic], instance_id=None, revoked=nothing_in_flight)
        shares: dict[int, frozenset[TopicPartition]] = {}

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow, first, shares, 1)
            tasks.start_soon(follow, second, shares, 2)
            await until(lambda: bool(shares.get(1) and shares.get(2)) and shares[1] | shares[2] == everything)
            tasks.cancel_scope.cancel()
        assert not shares[1] & shares[2]
        assert frozenset().union(*given_up) == shares[2]
        await second.aclose()
        with anyio.fail_after(60):
            while shares[1] != everything:
                found = await first.receive(records=False)
                shares[1] = shares[1] if found.assigned is None else found.assigned
        await first.aclose()

    async def test_partitions_that_stay_are_read_on_during_a_rebalance(
        self, transport: Transport, topic: str, group: str
    ) -> None:
        """What has been begun and is not given up goes on, from where it is, under its number."""
        producer = transport.producer()
        first = transport.consumer(group, [topic], instance_id=None, revoked=nothing_in_flight)
        everything = await begun(first)
        second = transport.consumer(group, [topic], instance_id=None, revoked=nothing_in_flight)
        share = everything

        async def join() -> None:
            await begun(second)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(join)
            with anyio.fail_after(60):
                while share == everything:
                    found = await first.receive()
                    share = found.assigned or share
        await producer.publish([record for n in range(20) for record in outgoing(topic, [n], f"k{n}")])
        stayed = {number for number in range(20) if TopicPartition(topic, partition_of(b"k%d" % number, 3)) in share}
        records = await records_of(first, len(stayed))
        assert {int(record.value or b"") for record in records} == stayed
        assert len(share) in {1, 2}
        await first.aclose()
        await second.aclose()
        await producer.aclose()

    async def test_a_second_process_of_one_instance_id_stops_the_first_with_words(
        self, transport: Transport, topic: str, group: str
    ) -> None:
        """The older one is fenced, and says what to do about it."""
        first = transport.consumer(group, [topic], instance_id="one", revoked=nothing_in_flight)
        await begun(first)
        second = transport.consumer(group, [topic], instance_id="one", revoked=nothing_in_flight)
        await begun(second)
        with anyio.fail_after(60), pytest.raises(ConsumerStopped, match="EVENTBUS_INSTANCE_ID"):
            while True:
                await first.receive(records=False)
        await first.aclose()
        await second.aclose()

    async def test_a_cancelled_receive_loses_nothing(self, transport: Transport, topic: str, group: str) -> None:
        """The round that was under way is answered by the next call."""
        producer = transport.producer()
        consumer = transport.consumer(group, [topic], instance_id=None, revoked=nothing_in_flight)
        await begun(consumer)
        found: list[IncomingRecord] = []
        for number in range(10):
            await producer.publish(outgoing(topic, [number]))
            with anyio.move_on_after(0.001 * number):
                found += [record for batch in (await consumer.receive()).batches for record in batch.records]
        if len(found) < 10:
            found += await records_of(consumer, 10 - len(found))
        assert [record.value for record in found] == [b"%d" % number for number in range(10)]
        await consumer.aclose()
        await producer.aclose()

    async def test_a_reader_reads_to_the_end_without_a_group(self, transport: Transport, topic: str) -> None:
        """From the offsets given, with the position behind each batch, an empty list at the end; then what is new."""
        producer = transport.producer()
        await producer.publish(outgoing(topic, range(2500), None))
        places = {TopicPartition(topic, number): 0 for number in range(3)}
        reader = transport.reader(places)
        found: list[IncomingRecord] = []
        with anyio.fail_after(60):
            while batches := await reader.read(records_max=500, seconds=1.0 if len(found) < 2500 else 0.1):
                assert sum(len(batch.records) for batch in batches) <= 500
                for batch in batches:
                    found += batch.records
                    assert not batch.records or batch.next_offset == batch.records[-1].offset + 1
        assert sorted(int(record.value or b"") for record in found) == list(range(2500))
        await producer.publish(outgoing(topic, [9999]))
        with anyio.fail_after(30):
            while not (new := [record.value for batch in await reader.read() for record in batch.records]):
                pass
        assert new == [b"9999"]
        await reader.aclose()
        await producer.aclose()

    async def test_a_reader_of_offsets_that_are_not_there_says_so(self, transport: Transport, topic: str) -> None:
        """Neither the start nor the end of the log is taken instead."""
        reader = transport.reader({TopicPartition(topic, 0): 1000})
        with anyio.fail_after(30), pytest.raises(ForeignLog, match="1000"):
            while True:
                await reader.read()
        await reader.aclose()

    async def test_closing_leaves_no_thread(self, transport: Transport, topic: str, group: str) -> None:
        """Of a producer, a consumer, a reader and the transport itself."""
        producer = transport.producer()
        await producer.publish(outgoing(topic, [1]))
        consumer = transport.consumer(group, [topic], instance_id=None, revoked=nothing_in_flight)
        await begun(consumer)
        reader = transport.reader({TopicPartition(topic, 0): 0})
        await reader.read(seconds=0.1)
        await consumer.aclose()
        await reader.aclose()
        await producer.aclose()
        await transport.aclose()
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("eventbus")] == []
