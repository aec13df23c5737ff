"""A log in memory as a `Transport`."""

import logging
from collections.abc import Mapping, Sequence

from eventbus.transport.memory.consumer import MemoryConsumer
from eventbus.transport.memory.log import MemoryLog
from eventbus.transport.memory.producers import MemoryProducer, MemoryTransactionalProducer
from eventbus.transport.memory.reader import MemoryReader
from eventbus.transport.memory.waiter import Waiter
from eventbus.transport.port import LogDescription, Revoked, TopicPartition

_log = logging.getLogger("eventbus.transport")


class MemoryTransport:
    """A connection to *log*. It has no threads, no files and no sockets."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._warned: set[str] = set()

    async def start(self) -> None:
        """Nothing has to be made ready."""

    async def aclose(self) -> None:
        """Nothing was made that outlives its own `aclose`."""

    @property
    def away_seconds(self) -> float | None:
        return self._log.away_seconds

    async def ensure_topics(self, topics: Mapping[str, int]) -> None:
        waiter = Waiter()
        self._log.watch(waiter)
        try:
            while self._log.away_seconds is not None:
                await waiter.wait()
        finally:
            self._log.unwatch(waiter)
        found = self._log.make_topics(topics)
        for topic in sorted(topics.keys() - self._warned):
            if found[topic] != topics[topic]:
                self._warned.add(topic)
                _log.warning(
                    "topic %s has %d partitions, not the %d that are set (EVENTBUS_PARTITIONS); it is used as it is",
                    topic,
                    found[topic],
                    topics[topic],
                )

    async def describe(self, topics: Sequence[str]) -> LogDescription:
        return self._log.describe(topics)

    def producer(self) -> MemoryProducer:
        return MemoryProducer(self._log)

    def transactional_producer(self, transactional_id: str) -> MemoryTransactionalProducer:
        return MemoryTransactionalProducer(self._log, transactional_id)

    def consumer(
        self, group_id: str, topics: Sequence[str], *, instance_id: str | None, revoked: Revoked
    ) -> MemoryConsumer:
        return MemoryConsumer(self._log, group_id, topics, instance_id=instance_id, revoked=revoked)

    def reader(self, offsets: Mapping[TopicPartition, int]) -> MemoryReader:
        return MemoryReader(self._log, offsets)
