"""The log as confluent-kafka's consumer reads it, from its first offset to its end, committed records only."""

import time
from collections.abc import Sequence
from contextlib import closing
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

LOG_SECONDS_MAX: Final = 20.0
_BEING_MADE: Final = {
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}


def read_messages(bootstrap: str, topics: Sequence[str]) -> tuple[list[Message], dict[tuple[str, int], int]]:
    """Every record of those of *topics* that are there, by topic, partition and offset, and where each ends."""
    options = {"bootstrap.servers": bootstrap, "group.id": "checker", "enable.auto.commit": False}
    # A partition's end is told by an empty answer, and the broker waits this long with one.
    with closing(Consumer({**options, "enable.partition.eof": True, "fetch.wait.max.ms": 10})) as consumer:
        there = consumer.list_topics(timeout=LOG_SECONDS_MAX).topics
        partitions = [(topic, number) for topic in topics if topic in there for number in there[topic].partitions]
        ends: dict[tuple[str, int], int] = {}
        for topic, number in partitions:
            ends[topic, number] = _end(consumer, TopicPartition(topic, number))
        consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for topic, number in partitions])
        open_partitions = {place for place, end in ends.items() if end > 0}
        found: list[Message] = []
        while open_partitions:
            message = consumer.poll(LOG_SECONDS_MAX)
            assert message is not None, f"the log gave nothing for {LOG_SECONDS_MAX:g} s, {open_partitions} unread"
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                open_partitions.discard(place_of(message)[:2])
            else:
                found.append(message)
    return sorted(found, key=place_of), ends


def _end(consumer: Consumer, place: TopicPartition) -> int:
    """Also of a partition that a cluster has just made, and whose leader is still to hear of it."""
    deadline = time.monotonic() + LOG_SECONDS_MAX
    while True:
        try:
            return int(consumer.get_watermark_offsets(place, timeout=LOG_SECONDS_MAX)[1])
        except KafkaException as raised:
            if raised.args[0].code() not in _BEING_MADE or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def place_of(message: Message) -> tuple[str, int, int]:
    """Topic, partition, offset."""
    return message.topic() or "", message.partition() or 0, message.offset() or 0


def headers_of(message: Message) -> dict[str, str]:
    """The headers that have a value, as text."""
    return {name: value.decode() for name, value in dict(message.headers() or []).items() if isinstance(value, bytes)}
