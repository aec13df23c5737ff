"""Kafka Streams against `broker serve`: a word count with a repartition topic and a changelog, killed in the middle."""

import subprocess
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.interop.toolchain import java_program
from tests.servers.broker_process import BrokerProcess

pytestmark = pytest.mark.interop

WORDS = ["append", "batch", "commit", "deliver", "event", "fetch", "group"]
LINES = [" ".join(WORDS[(number * step) % len(WORDS)] for step in range(1, 4)) for number in range(2000)]
EXPECTED = Counter(word for line in LINES for word in line.split())
SECONDS_MAX = 60


def _counted(address: str, topic: str) -> tuple[dict[str, int], list[tuple[str, int]]]:
    """The last committed count of each word, once they are as expected or time is over; and every count in order."""
    reader = Consumer(
        {"bootstrap.servers": address, "group.id": f"{topic}-oracle", "isolation.level": "read_committed"}
    )
    try:
        reader.assign([TopicPartition(topic, number, 0) for number in range(2)])
        last: dict[str, int] = {}
        every: list[tuple[str, int]] = []
        end = time.monotonic() + SECONDS_MAX
        while time.monotonic() < end and last != EXPECTED:
            for message in reader.consume(500, timeout=0.2):
                word, count = _pair(message)
                last[word] = count
                every.append((word, count))
        return last, every
    finally:
        reader.close()


def _wait_for_counts(address: str, topic: str) -> None:
    """Until the program is well inside its work: something is counted and committed."""
    reader = Consumer({"bootstrap.servers": address, "group.id": f"{topic}-watcher"})
    try:
        end = time.monotonic() + SECONDS_MAX
        while all(reader.get_watermark_offsets(TopicPartition(topic, number))[1] == 0 for number in range(2)):
            assert time.monotonic() < end, "nothing counted"
            time.sleep(0.05)
    finally:
        reader.close()


def _pair(message: Message) -> tuple[str, int]:
    assert message.error() is None, message.error()
    key, value = message.key(), message.value()
    assert isinstance(key, bytes)
    assert isinstance(value, bytes)
    return key.decode(), int(value)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once_v2"])
def test_kafka_streams_counts_words(broker: BrokerProcess, tmp_path: Path, guarantee: str) -> None:
    """Every word, and with exactly-once every word once, though the program is killed and started again."""
    application = f"words-{guarantee.replace('_', '-')}-{uuid.uuid4().hex[:6]}"
    lines, counts = f"{application}-lines", f"{application}-counts"
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for created in admin.create_topics([NewTopic(lines, 2, 1), NewTopic(counts, 2, 1)]).values():
        created.result(10)
    command = [*java_program("WordCount"), broker.bootstrap, application, lines, counts, guarantee, str(tmp_path)]
    producer = Producer({"bootstrap.servers": broker.bootstrap})

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)

    first = start()
    try:
        for number, line in enumerate(LINES[:1000]):
            producer.produce(lines, line.encode(), key=str(number))
        producer.flush(20)
        if guarantee == "exactly_once_v2":
            _wait_for_counts(broker.bootstrap, counts)
            first.kill()
            first.wait(10)
            first = start()
        for number, line in enumerate(LINES[1000:]):
            producer.produce(lines, line.encode(), key=str(number))
        producer.flush(20)
        last, every = _counted(broker.bootstrap, counts)
        assert last == EXPECTED
        for word in WORDS:
            written = [count for each, count in every if each == word]
            assert written == sorted(set(written)), f"{word} went back or was counted twice: {written[:50]}"
    finally:
        _, complaints = first.communicate(timeout=30)
    assert first.returncode == 0, complaints.decode()[-3000:]
