"""Writes copies of records to given partitions, in order, with their own times."""

import logging
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from eventbus.migration.log_reading import client_options
from eventbus.migration.logs import Log, MigrationRefused, Say
from eventbus.transport.kafka.options import AWAY, Options, describe, producer_options
from eventbus.transport.port import IncomingRecord, TopicPartition

_FULL_SECONDS: Final = 0.05
_FLUSH_SECONDS: Final = 0.5
_QUIET: Final = logging.getLogger("eventbus.librdkafka.commands")


class CopyWriter:
    """
    An idempotent producer: what is in the target is at every moment the beginning of what was to be written.

    It waits while the target is away. `write` and `flush` raise MigrationRefused when it takes a record never.
    """

    def __init__(self, target: Log, record_bytes_max: int, say: Say) -> None:
        self._target = target
        self._say = say
        self._failed: str | None = None
        self._waiting = 0
        options: Options = {
            **producer_options(client_options(target)),
            "message.max.bytes": record_bytes_max,
            "linger.ms": 10,
        }
        self._producer = Producer({**options, "error_cb": self._error}, logger=_QUIET)

    def write(self, record: IncomingRecord, place: TopicPartition) -> None:
        """Queues a copy of *record* for *place*."""
        while True:
            self._raise()
            try:
                self._producer.produce(
                    place.topic,
                    record.value,
                    record.key,
                    place.partition,
                    on_delivery=self._delivered,
                    timestamp=record.timestamp_ms,
                    headers=list(record.headers),
                )
            except BufferError:
                self._producer.poll(_FULL_SECONDS)
            except KafkaException as raised:
                raise MigrationRefused(self._words(place.topic, raised.args[0])) from raised
            else:
                self._waiting += 1
                break
        self._producer.poll(0)

    def flush(self) -> None:
        """Returns when everything is written."""
        while self._waiting and self._failed is None:
            self._producer.flush(_FLUSH_SECONDS)
        self._raise()

    def close(self) -> None:
        """Gives up what is not written."""
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)
        self._producer.flush(_FLUSH_SECONDS)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        self._waiting -= 1
        if error is not None and self._failed is None:
            self._failed = self._words(message.topic() or "", error)

    def _raise(self) -> None:
        if self._failed is not None:
            raise MigrationRefused(self._failed)

    def _words(self, topic: str, error: KafkaError) -> str:
        return f"{self._target.name}: topic {topic!r} does not take a record: {describe(error)}"

    def _error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._say(f"{self._target.name} is away, waiting for it")
        elif error.code() == KafkaError._FATAL and self._failed is None:
            self._failed = f"{self._target.name} ends the copy: {describe(error)}; run it again, it goes on"
        elif error.code() not in AWAY:
            self._say(f"{self._target.name}: {describe(error)}")
