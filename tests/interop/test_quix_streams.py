"""Quix Streams against `broker serve`, in an environment of its own."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.interop.toolchain import quix_python, run
from tests.servers.broker_process import BrokerProcess

pytestmark = pytest.mark.interop

PARTITIONS = 3
COUNT = 600


def _committed(address: str, topic: str) -> list[tuple[bytes, bytes]]:
    """Keys and values that a reader of committed records sees, up to the end."""
    reader = Consumer({"bootstrap.servers": address, "group.id": "oracle", "isolation.level": "read_committed"})
    try:
        reader.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        read: list[tuple[bytes, bytes]] = []
        while messages := reader.consume(500, timeout=2):
            for message in messages:
                key, value = message.key(), message.value()
                assert isinstance(key, bytes)
                assert isinstance(value, bytes)
                read.append((key, value))
        return read
    finally:
        reader.close()


def _words(address: str, source: str, target: str) -> list[tuple[bytes, str]]:
    """Makes both topics and fills the first; what was sent, by key."""
    admin = AdminClient({"bootstrap.servers": address})
    created = admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in (source, target)])
    for each in created.values():
        each.result(10)
    sent = [(b"key-%d" % (number % 17), f"wörd {number}") for number in range(COUNT)]
    producer = Producer({"bootstrap.servers": address, "compression.type": "lz4"})
    for key, value in sent:
        producer.produce(source, value.encode(), key=key)
    producer.flush(20)
    return sent


@pytest.mark.parametrize("guarantee", ["at-least-once", "exactly-once"])
def test_quix_streams_makes_a_full_round(broker: BrokerProcess, tmp_path: Path, guarantee: str) -> None:
    """Reads half, stops, is started again and reads the rest; every record once, in its key's order."""
    name = f"quix-{guarantee}-{uuid.uuid4().hex[:6]}"
    source, target = f"{name}-words", f"{name}-shouted"
    sent = _words(broker.bootstrap, source, target)
    program = [str(quix_python()), str(Path(__file__).with_name("quix_words.py"))]
    for _ in range(2):
        run([*program, broker.bootstrap, name, source, target, str(COUNT // 2), guarantee, str(tmp_path)])
    read = _committed(broker.bootstrap, target)
    assert sorted(read) == sorted((key, value.upper().encode()) for key, value in sent)
    for key in {key for key, _ in sent}:
        assert [value for each, value in read if each == key] == [
            value.upper().encode() for each, value in sent if each == key
        ]


def test_two_quix_members_share_a_group(broker: BrokerProcess, tmp_path: Path) -> None:
    """Each handles half: whoever has fewer partitions takes over when the other has left. Every record once."""
    name = f"quix-two-{uuid.uuid4().hex[:6]}"
    source, target = f"{name}-words", f"{name}-shouted"
    sent = _words(broker.bootstrap, source, target)
    program = [str(quix_python()), str(Path(__file__).with_name("quix_words.py"))]

    def member(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        run([*program, broker.bootstrap, name, source, target, str(COUNT // 2), "exactly-once", str(folder)])

    with ThreadPoolExecutor(2) as members:
        list(members.map(member, range(2)))
    assert sorted(_committed(broker.bootstrap, target)) == sorted((key, value.upper().encode()) for key, value in sent)
