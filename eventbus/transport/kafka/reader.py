"""Reading chosen partitions without a group: librdkafka's Consumer with our own assignment, used by one thread."""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, Message
from confluent_kafka import TopicPartition as KafkaPartition

from eventbus.errors import BrokerUnavailable, ForeignLog
from eventbus.transport.kafka.batches import split
from eventbus.transport.kafka.connection import Connection
from eventbus.transport.kafka.options import AWAY, describe, reader_options
from eventbus.transport.port import PartitionBatch, TopicPartition
from eventbus.transport.thread import CallThread

_WAIT_SECONDS = 0.2
_NOT_THERE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION})


class KafkaReader:
    """A `RecordReader` over librdkafka."""

    def __init__(
        self,
        shared: Mapping[str, str | int],
        offsets: Mapping[TopicPartition, int],
        *,
        connection: Connection,
        logger: logging.Logger,
    ) -> None:
        self._options = reader_options(shared)
        self._offsets = dict(offsets)
        self._connection = connection
        self._logger = logger
        self._thread = CallThread("eventbus-reader")
        self._under_way: asyncio.Future[list[PartitionBatch]] | None = None
        self._closing = threading.Event()
        self._consumer: Consumer | None = None

    async def read(self, *, records_max: int = 1000, seconds: float = 1.0) -> list[PartitionBatch]:
        if self._under_way is None:
            self._under_way = self._thread.submit(lambda: self._read(records_max, seconds))
        found = await asyncio.shield(self._under_way)
        self._under_way = None
        return found

    async def aclose(self) -> None:
        if not self._closing.is_set():
            self._closing.set()
            if self._under_way is not None:
                # Nobody asks for these records any more, also not for how reading them may have failed.
                self._under_way.add_done_callback(lambda found: found.cancelled() or found.exception())
            self._thread.submit(self._close)
            await self._thread.aclose()

    # In the thread.

    def _open(self) -> Consumer:
        self._consumer = Consumer({**self._options, "error_cb": self._connection.error}, logger=self._logger)
        places = [KafkaPartition(at.topic, at.partition, offset) for at, offset in self._offsets.items()]
        self._consumer.assign(places)
        return self._consumer

    def _read(self, records_max: int, seconds: float) -> list[PartitionBatch]:
        consumer = self._consumer or self._open()
        deadline = time.monotonic() + seconds
        while not self._closing.is_set() and (left := deadline - time.monotonic()) > 0:
            first = consumer.poll(min(left, _WAIT_SECONDS))
            if first is None:
                continue
            messages: list[Message] = [first, *consumer.consume(records_max - 1, 0)]
            batches, errors = split(messages)
            for error, place in errors:
                self._judge(error, place)
            if batches:
                return batches
        return []

    def _judge(self, error: KafkaError, place: TopicPartition | None) -> None:
        if error.code() in _NOT_THERE and place is not None:
            raise ForeignLog(
                f"topic {place.topic!r} partition {place.partition} cannot be read from where it was to be "
                f"(started at {self._offsets.get(place)}): {describe(error)}; begin again from the log's start"
            )
        if error.code() not in AWAY:
            raise BrokerUnavailable(describe(error))
        self._connection.error(error)

    def _close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()
