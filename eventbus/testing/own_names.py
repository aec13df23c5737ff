"""
A transport whose topics, groups and transactional ids have names of their own in a log that is shared.

Whoever uses it sees its own names only: `orders` is `<prefix>orders` in the log. So each test has a log to itself,
although all of a run share one broker.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from eventbus.errors import BrokerUnavailable, PublishRefused
from eventbus.transport.port import (
    IncomingRecord,
    LogDescription,
    OutgoingRecord,
    PartitionBatch,
    Published,
    PublishOutcome,
    RecordConsumer,
    RecordProducer,
    RecordReader,
    Revoked,
    Round,
    TopicPartition,
    TransactionalProducer,
    Transport,
)


class OwnNames:
    """The `Transport` over *transport*, which it starts and closes."""

    def __init__(self, transport: Transport, prefix: str) -> None:
        self._transport: Final = transport
        self._names: Final = _Names(prefix)

    async def start(self) -> None:
        await self._transport.start()

    async def aclose(self) -> None:
        await self._transport.aclose()

    @property
    def away_seconds(self) -> float | None:
        return self._transport.away_seconds

    async def ensure_topics(self, topics: Mapping[str, int]) -> None:
        await self._transport.ensure_topics({self._names.outer(topic): count for topic, count in topics.items()})

    async def describe(self, topics: Sequence[str]) -> LogDescription:
        found = await self._transport.describe([self._names.outer(topic) for topic in topics])
        return replace(found, topics={self._names.inner(topic): told for topic, told in found.topics.items()})

    def producer(self) -> RecordProducer:
        return _Producer(self._transport.producer(), self._names)

    def transactional_producer(self, transactional_id: str) -> TransactionalProducer:
        return _TransactionalProducer(
            self._transport.transactional_producer(self._names.outer(transactional_id)), self._names
        )

    def consumer(
        self, group_id: str, topics: Sequence[str], *, instance_id: str | None, revoked: Revoked
    ) -> RecordConsumer:
        names = self._names

        async def taken(partitions: frozenset[TopicPartition]) -> None:
            await revoked(frozenset(names.inner_partition(partition) for partition in partitions))

        outer = [names.outer(topic) for topic in topics]
        return _Consumer(
            self._transport.consumer(names.outer(group_id), outer, instance_id=instance_id, revoked=taken), names
        )

    def reader(self, offsets: Mapping[TopicPartition, int]) -> RecordReader:
        return _Reader(self._transport.reader(self._names.outer_offsets(offsets)), self._names)


class _Names:
    """Names as their user knows them, and as the log does."""

    def __init__(self, prefix: str) -> None:
        self._prefix: Final = prefix

    def outer(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def inner(self, name: str) -> str:
        return name.removeprefix(self._prefix)

    def inner_partition(self, partition: TopicPartition) -> TopicPartition:
        return TopicPartition(self.inner(partition.topic), partition.partition)

    def outer_offsets(self, offsets: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        return {TopicPartition(self.outer(topic), number): offset for (topic, number), offset in offsets.items()}

    def outgoing(self, records: Sequence[OutgoingRecord]) -> list[OutgoingRecord]:
        return [replace(record, topic=self.outer(record.topic)) for record in records]

    def outcomes(self, outcomes: Sequence[PublishOutcome]) -> list[PublishOutcome]:
        return [self._outcome(outcome) for outcome in outcomes]

    def _outcome(self, outcome: PublishOutcome) -> PublishOutcome:
        match outcome:
            case Published():
                return replace(outcome, topic=self.inner(outcome.topic))
            case PublishRefused() | BrokerUnavailable():
                return outcome

    def batch(self, batch: PartitionBatch) -> PartitionBatch:
        return replace(
            batch, topic=self.inner(batch.topic), records=[self._incoming(record) for record in batch.records]
        )

    def _incoming(self, record: IncomingRecord) -> IncomingRecord:
        return replace(record, topic=self.inner(record.topic))


class _Producer:
    def __init__(self, producer: RecordProducer, names: _Names) -> None:
        self._producer = producer
        self._names = names

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[PublishOutcome]:
        return self._names.outcomes(await self._producer.publish(self._names.outgoing(records)))

    async def aclose(self) -> None:
        await self._producer.aclose()


class _TransactionalProducer:
    def __init__(self, producer: TransactionalProducer, names: _Names) -> None:
        self._producer = producer
        self._names = names

    async def take_over(self) -> None:
        await self._producer.take_over()

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[PublishOutcome]:
        return self._names.outcomes(await self._producer.publish(self._names.outgoing(records)))

    async def aclose(self) -> None:
        await self._producer.aclose()


class _Consumer:
    def __init__(self, consumer: RecordConsumer, names: _Names) -> None:
        self._consumer = consumer
        self._names = names

    async def receive(self, *, records: bool = True) -> Round:
        found = await self._consumer.receive(records=records)
        assigned = found.assigned
        return replace(
            found,
            assigned=None if assigned is None else frozenset(map(self._names.inner_partition, assigned)),
            batches=[self._names.batch(batch) for batch in found.batches],
        )

    def read_from(self, offsets: Mapping[TopicPartition, int]) -> int:
        return self._consumer.read_from(self._names.outer_offsets(offsets))

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._consumer.commit(self._names.outer_offsets(offsets))

    async def aclose(self) -> None:
        await self._consumer.aclose()


class _Reader:
    def __init__(self, reader: RecordReader, names: _Names) -> None:
        self._reader = reader
        self._names = names

    async def read(self, *, records_max: int = 1000, seconds: float = 1.0) -> list[PartitionBatch]:
        found = await self._reader.read(records_max=records_max, seconds=seconds)
        return [self._names.batch(batch) for batch in found]

    async def aclose(self) -> None:
        await self._reader.aclose()
