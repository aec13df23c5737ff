"""Reads partitions from an offset to a known end, committed records only, and then ends."""

import logging
from collections.abc import Generator, Mapping, Sequence
from functools import partial
from typing import Final, cast

from confluent_kafka import Consumer, KafkaError, Message
from confluent_kafka import TopicPartition as KafkaPartition

from eventbus.migration.checksum import Headers
from eventbus.migration.logs import Log, MigrationRefused, Say
from eventbus.transport.kafka.options import AWAY, Options, describe, reader_options
from eventbus.transport.port import IncomingRecord, OffsetRange, TopicPartition

_BATCH: Final = 5_000
# It waits this long for a whole batch, also when the end is among what it has.
_WAIT_SECONDS: Final = 0.05
# A partition that ends with a transaction's marker says so in an empty answer, with which the log waits this long.
_EMPTY_MS: Final = 10
# librdkafka's words about an absent broker are said once, by `Say`.
_QUIET: Final = logging.getLogger("eventbus.librdkafka.commands")


def client_options(log: Log) -> Mapping[str, str]:
    """What every client of the move is given: the URL's options and the address."""
    return {**log.options, "bootstrap.servers": log.address, "client.id": "eventbus-migrate"}


def read(log: Log, ranges: Mapping[TopicPartition, OffsetRange], say: Say) -> Generator[Sequence[IncomingRecord]]:
    """
    The records of *ranges*, in order within a partition; returns when every end is reached.

    Waits through an absence of the broker. Raises MigrationRefused when what was there is there no more.
    """
    left = {place: found.end for place, found in ranges.items() if found.start < found.end}
    if not left:
        return
    options: Options = {
        **reader_options(client_options(log)),
        "queued.max.messages.kbytes": 65_536,
        "fetch.wait.max.ms": _EMPTY_MS,
    }
    consumer = Consumer({**options, "error_cb": partial(_tell, log, say)}, logger=_QUIET)
    try:
        consumer.assign([KafkaPartition(place.topic, place.partition, ranges[place].start) for place in left])
        while left:
            records: list[IncomingRecord] = []
            for message in consumer.consume(_BATCH, _WAIT_SECONDS):
                place = TopicPartition(message.topic() or "", -1 if (number := message.partition()) is None else number)
                position = _position(log, message, place)
                if position is None or place not in left:
                    continue
                if message.error() is None and position <= left[place]:
                    records.append(_record(message, place))
                if position >= left[place]:
                    del left[place]
            if records:
                yield records
    finally:
        consumer.close()


def _position(log: Log, message: Message, place: TopicPartition) -> int | None:
    """The offset behind what the message tells of; None: nothing of a partition."""
    error, offset = message.error(), message.offset()
    if error is None:
        return None if offset is None else offset + 1
    if error.code() == KafkaError._PARTITION_EOF:
        return offset
    if error.code() in AWAY:
        return None
    raise MigrationRefused(
        f"{log.name}: {place.topic}-{place.partition} cannot be read: {describe(error)}; is something deleting from it?"
    )


def _record(message: Message, place: TopicPartition) -> IncomingRecord:
    return IncomingRecord(
        place.topic,
        place.partition,
        message.offset() or 0,
        message.key(),
        message.value(),
        cast("Headers", message.headers() or ()),
        # librdkafka takes 0 for "now". The few records that are of 1970, or of no time, are a millisecond later.
        max(1, message.timestamp()[1]),
    )


def _tell(log: Log, say: Say, error: KafkaError) -> None:
    if error.code() == KafkaError._ALL_BROKERS_DOWN:
        say(f"{log.name} is away, waiting for it")
