"""Clients in other languages against `broker serve`: a full round each, byte for byte what librdkafka reads."""

import base64
import json
import subprocess
import time
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.interop.toolchain import go_program, need, node_program, run
from tests.servers.broker_process import BrokerProcess

pytestmark = pytest.mark.interop
COUNT = 1000
# Of three transactions with ten records each, the second aborted.
COMMITTED = [f"{number}-{index}" for number in (0, 2) for index in range(10)]

Record = tuple[int, int, bytes, bytes, str]


def _read_by_librdkafka(address: str, topic: str) -> list[Record]:
    consumer = Consumer({"bootstrap.servers": address, "group.id": "oracle", "enable.partition.eof": True})
    try:
        partitions = list(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        records: list[Record] = []
        ended: set[int] = set()
        while len(ended) < len(partitions):
            for message in consumer.consume(500, timeout=10):
                error = message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    ended.add(message.partition())
                    continue
                headers = dict(message.headers() or [])
                records.append(
                    (message.partition(), message.offset(), message.key(), message.value(), headers["number"].decode())
                )
        return sorted(records)
    finally:
        consumer.close()


def _check_round(address: str, topic: str, codec: str, printed: str) -> None:
    *lines, last = [json.loads(line) for line in printed.splitlines()]
    read = sorted(
        (
            line["partition"],
            line["offset"],
            base64.b64decode(line["key"]),
            base64.b64decode(line["value"]),
            line["header"],
        )
        for line in lines
    )
    expected = _read_by_librdkafka(address, topic)
    assert sorted(value for _, _, _, value, _ in expected) == sorted(
        f"value-{i}-{codec}".encode() for i in range(COUNT)
    )
    assert read == expected
    assert last == {"done": True, "committed": COUNT, "transacted": COMMITTED}


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_franz_go_makes_a_full_round(broker: BrokerProcess, codec: str) -> None:
    """Create, produce, consume in a group of two with a rebalance, commit, transactions, with Go's franz-go."""
    topic = f"franz-go-{codec}-{uuid.uuid4().hex[:8]}"
    printed = run(
        [str(go_program()), "-broker", broker.bootstrap, "-topic", topic, "-codec", codec, "-count", str(COUNT)]
    )
    _check_round(broker.bootstrap, topic, codec, printed)


@pytest.mark.parametrize("codec", ["none", "gzip"])
def test_kafkajs_makes_a_full_round(broker: BrokerProcess, codec: str) -> None:
    """Create, produce idempotently, consume in a group of two with a rebalance, commit, transactions, with kafkajs."""
    topic = f"kafkajs-{codec}-{uuid.uuid4().hex[:8]}"
    printed = run([*node_program(), broker.bootstrap, topic, codec, str(COUNT)])
    _check_round(broker.bootstrap, topic, codec, printed)


def test_kcat_lists_produces_and_consumes(broker: BrokerProcess) -> None:
    """The command line of librdkafka, as Debian packages it."""
    kcat = need("kcat", "kcat")
    topic = f"kcat-{uuid.uuid4().hex[:8]}"
    lines = b"".join(b"key-%d:value-%d\n" % (number, number) for number in range(COUNT))
    run([kcat, "-b", broker.bootstrap, "-P", "-t", topic, "-K", ":", "-z", "lz4"], feed=lines)
    listed = json.loads(run([kcat, "-b", broker.bootstrap, "-L", "-J", "-t", topic]))
    assert [entry["topic"] for entry in listed["topics"]] == [topic]
    read = run([kcat, "-b", broker.bootstrap, "-C", "-t", topic, "-e", "-q", "-f", "%k:%s\n"])
    assert sorted(read.encode().splitlines()) == sorted(lines.splitlines())
    grouped = run(
        [
            kcat,
            "-b",
            broker.bootstrap,
            "-G",
            f"{topic}-group",
            "-X",
            "auto.offset.reset=earliest",
            "-c",
            str(COUNT),
            "-q",
            "-f",
            "%s\n",
            topic,
        ]
    )
    assert len(grouped.splitlines()) == COUNT


def test_two_kcat_members_share_a_group(broker: BrokerProcess, tmp_path: Path) -> None:
    """The second joins while the first reads; between them they read everything, and each of them something."""
    kcat = need("kcat", "kcat")
    topic = f"kcat-two-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    admin.create_topics([NewTopic(topic, 4, 1)])[topic].result(10)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": "zstd"})
    outputs = [tmp_path / "first", tmp_path / "second"]
    members: list[subprocess.Popen[bytes]] = []
    sent: list[bytes] = []

    def produce_until(everybody_reads: int) -> None:
        deadline = time.monotonic() + 40
        while not all(output.stat().st_size for output in outputs[:everybody_reads]):
            assert time.monotonic() < deadline, f"{everybody_reads} members were to read"
            number = len(sent)
            sent.append(b"value-%d" % number)
            producer.produce(topic, sent[-1], partition=number % 4)
            producer.flush(10)
            time.sleep(0.02)

    command = [kcat, "-b", broker.bootstrap, "-G", f"{topic}-group", "-X", "auto.offset.reset=earliest", "-u", "-q"]
    try:
        for number, output in enumerate(outputs, start=1):
            with output.open("wb") as written:
                members.append(subprocess.Popen([*command, "-f", "%s\n", topic], stdout=written, stderr=written))
            produce_until(number)
        deadline = time.monotonic() + 20
        while (read := {line for output in outputs for line in output.read_bytes().splitlines()}) != set(sent):
            assert time.monotonic() < deadline, f"{len(read)} of {len(sent)} read"
            time.sleep(0.05)
    finally:
        for member in members:
            member.terminate()
            member.wait(10)
