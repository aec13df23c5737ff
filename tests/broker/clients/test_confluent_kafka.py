"""librdkafka, through confluent-kafka."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, ResourceType

from tests.servers.broker_process import BrokerProcess, running_broker

COMPRESSIONS = ["none", "gzip", "snappy", "lz4", "zstd"]


def admin(broker: BrokerProcess) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.bootstrap})


def create_topic(broker: BrokerProcess, topic: str, partitions: int, **config: str) -> None:
    settings = {key.replace("_", "."): value for key, value in config.items()}
    client = admin(broker)
    client.create_topics([NewTopic(topic, partitions, 1, config=settings)])[topic].result(10)


def produce(broker: BrokerProcess, topic: str, values: list[bytes], **settings: object) -> None:
    """Returns when all are acknowledged, and fails when one is not."""
    errors: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 5, **settings})
    for number, value in enumerate(values):
        producer.produce(
            topic,
            value,
            key=f"key-{number % 17}",
            headers=[("n", str(number).encode())],
            on_delivery=lambda error, _: errors.append(error) if error else None,
        )
    assert producer.flush(30) == 0
    assert not errors


def consumer(broker: BrokerProcess, group: str, **settings: object) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            **settings,
        }
    )


def read(reader: Consumer, count: int, seconds: float = 20) -> list[Message]:
    """*count* messages, or what came in time."""
    messages: list[Message] = []
    end = time.monotonic() + seconds
    while len(messages) < count and time.monotonic() < end:
        for message in reader.consume(count - len(messages), min(0.5, seconds)):
            assert message.error() is None, message.error()
            messages.append(message)
    return messages


def read_partitions(broker: BrokerProcess, topic: str, partitions: int, count: int) -> list[Message]:
    """Reads without a group, from the beginning."""
    reader = consumer(broker, f"{topic}-reader")
    reader.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in range(partitions)])
    messages = read(reader, count)
    reader.close()
    return messages


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("idempotent", [False, True])
def test_what_was_produced_is_read_back_byte_for_byte(
    broker: BrokerProcess, topic: str, compression: str, idempotent: bool
) -> None:
    """Values, keys, headers and order within a key, with every codec."""
    create_topic(broker, topic, 3)
    values = [bytes([number % 256]) * (number % 700) for number in range(3000)]
    settings = {"compression.type": compression, "enable.idempotence": idempotent}
    produce(broker, topic, values, **settings)
    messages = read_partitions(broker, topic, 3, len(values))
    by_number = {int(dict(message.headers())["n"]): message for message in messages}
    assert len(messages) == len(by_number) == len(values)
    assert [by_number[number].value() or b"" for number in range(len(values))] == values
    last: dict[bytes, int] = {}
    for message in messages:
        number = int(dict(message.headers())["n"])
        assert last.get(message.key(), -1) < number
        last[message.key()] = number


def test_compressed_batches_arrive_compressed(broker: BrokerProcess, topic: str) -> None:
    """Trap 1: librdkafka drops compression silently when Produce v0 is not advertised."""
    create_topic(broker, topic, 1)
    produce(broker, topic, [b"the same words again and again " * 20] * 1000, **{"compression.type": "zstd"})
    size = (broker.data_dir / f"{topic}-0" / "00000000000000000000.log").stat().st_size
    assert size < 1000 * 620 // 10


def test_two_members_share_the_partitions_and_one_takes_over_from_a_closed_one(
    broker: BrokerProcess, topic: str
) -> None:
    """A rebalance each way; nothing is lost or skipped between."""
    create_topic(broker, topic, 4)
    first, second = consumer(broker, topic), consumer(broker, topic)
    first.subscribe([topic])
    second.subscribe([topic])
    wait_for(lambda: [len(poll(first)), len(poll(second))] == [2, 2])
    assert {(each.topic, each.partition) for each in [*first.assignment(), *second.assignment()]} == {
        (topic, index) for index in range(4)
    }
    produce(broker, topic, [str(number).encode() for number in range(400)])
    values: set[int] = set()
    wait_for(lambda: len(take(first, values)) + len(take(second, values)) == 0 and len(values) == 400)
    first.commit(asynchronous=False)
    second.commit(asynchronous=False)
    second.close()
    wait_for(lambda: len(poll(first)) == 4)
    produce(broker, topic, [str(number).encode() for number in range(400, 500)])
    wait_for(lambda: len(take(first, values)) == 0 and len(values) == 500)
    first.close()


def take(reader: Consumer, values: set[int]) -> list[Message]:
    """What is there at once, its values added to *values*."""
    messages = read(reader, 400, 0.3)
    values.update(int(message.value()) for message in messages)
    return messages


MEMBER = """
import sys
from confluent_kafka import Consumer
bootstrap, topic = sys.argv[1:]
consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "session.timeout.ms": 6000,
                     "heartbeat.interval.ms": 500, "auto.offset.reset": "earliest"})
consumer.subscribe([topic])
while True:
    consumer.poll(0.1)
    print(len(consumer.assignment()), flush=True)
"""


def test_a_killed_member_is_replaced_after_its_session(broker: BrokerProcess, topic: str) -> None:
    """SIGKILL: it leaves without a word, and the survivor has everything when its session is over."""
    create_topic(broker, topic, 2)
    survivor = consumer(broker, topic)
    survivor.subscribe([topic])
    command = [sys.executable, "-c", MEMBER, broker.bootstrap, topic]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as member:
        assert member.stdout is not None
        wait_for(lambda: len(poll(survivor)) == 1)
        member.kill()
    killed = time.monotonic()
    wait_for(lambda: len(poll(survivor)) == 2)
    assert time.monotonic() - killed < 30
    survivor.close()


def poll(reader: Consumer) -> list[TopicPartition]:
    """One short poll, which lets the member take part in a rebalance; its assignment then."""
    message = reader.poll(0.1)
    assert message is None or message.error() is None
    if message is not None:
        reader.seek(TopicPartition(message.topic(), message.partition(), message.offset()))
    return list(reader.assignment())


def wait_for(condition: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < end, "did not come about in time"


def test_commits_survive_a_restart_and_a_kill(tmp_path: Path) -> None:
    """With their metadata and leader epoch."""
    with running_broker(tmp_path / "data") as broker:
        create_topic(broker, "t", 2)
        produce(broker, "t", [b"x"] * 100)
        reader = consumer(broker, "g")
        reader.commit(offsets=[TopicPartition("t", 0, 7, "note"), TopicPartition("t", 1, 9)], asynchronous=False)
        for end in (broker.stop, broker.kill):
            end()
            broker.start()
            committed = reader.committed([TopicPartition("t", 0), TopicPartition("t", 1)], timeout=10)
            assert [(each.offset, each.metadata) for each in committed] == [(7, "note"), (9, None)]
        reader.close()


def test_a_consumer_goes_on_where_its_group_was(broker: BrokerProcess, topic: str) -> None:
    """No record twice, none skipped."""
    create_topic(broker, topic, 1)
    produce(broker, topic, [str(number).encode() for number in range(100)])
    for part in range(2):
        reader = consumer(broker, topic)
        reader.subscribe([topic])
        assert [int(message.value()) for message in read(reader, 50)] == list(range(part * 50, part * 50 + 50))
        reader.commit(asynchronous=False)
        reader.close()


def test_an_acknowledged_record_is_there_once_after_kills_under_an_idempotent_producer(tmp_path: Path) -> None:
    """SIGKILL in the middle of traffic, several times; the producer retries, the log has each record once, in order."""
    acknowledged: list[int] = []
    with running_broker(tmp_path / "data") as broker:
        create_topic(broker, "t", 1)
        producer = Producer(
            {
                "bootstrap.servers": broker.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 1,
                "batch.num.messages": 50,
                "reconnect.backoff.max.ms": 200,
                "retry.backoff.ms": 50,
            }
        )
        number = 0
        for _ in range(4):
            end = time.monotonic() + 0.6
            while time.monotonic() < end:
                producer.produce(
                    "t",
                    str(number).encode(),
                    on_delivery=lambda error, message: None if error else acknowledged.append(int(message.value())),
                )
                number += 1
                if number % 20 == 0:
                    producer.poll(0.001)
            broker.kill()
            broker.start()
        assert producer.flush(30) == 0
        messages = [int(message.value()) for message in read_partitions(broker, "t", 1, number)]
    assert len(acknowledged) == number
    assert messages == list(range(number))


def test_offsets_are_found_by_time(broker: BrokerProcess, topic: str) -> None:
    """ListOffsets by timestamp, earliest, latest."""
    create_topic(broker, topic, 1)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    now = int(time.time() * 1000) - 10_000
    for number in range(10):
        producer.produce(topic, b"x", timestamp=now + number * 100)
        producer.flush(10)
    reader = consumer(broker, topic)
    (found,) = reader.offsets_for_times([TopicPartition(topic, 0, now + 450)], timeout=10)
    assert found.offset == 5
    assert reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10) == (0, 10)
    reader.close()


def test_topics_are_created_described_widened_and_deleted(broker: BrokerProcess, topic: str) -> None:
    """The admin client's round."""
    client = admin(broker)
    create_topic(broker, topic, 2, retention_ms="-1")
    with pytest.raises(KafkaException, match="already exists"):
        create_topic(broker, topic, 2)
    resource = ConfigResource(ResourceType.TOPIC, topic)
    configs = client.describe_configs([resource])[resource].result(10)
    assert configs["retention.ms"].value == "-1"
    assert not configs["retention.ms"].is_default
    assert configs["cleanup.policy"].value == "delete"
    assert configs["cleanup.policy"].is_default
    client.create_partitions([NewPartitions(topic, 5)])[topic].result(10)
    assert len(client.list_topics(topic, timeout=10).topics[topic].partitions) == 5
    client.delete_topics([topic])[topic].result(10)
    assert topic not in client.list_topics(timeout=10).topics


def test_a_batch_above_max_message_bytes_is_refused(broker: BrokerProcess, topic: str) -> None:
    """MSG_SIZE_TOO_LARGE reaches the producer's callback."""
    create_topic(broker, topic, 1, max_message_bytes="1000")
    errors: list[KafkaError] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce(topic, b"x" * 2000, on_delivery=lambda error, _: errors.append(error))
    producer.flush(10)
    assert errors[0].code() == KafkaError.MSG_SIZE_TOO_LARGE


@pytest.fixture(scope="module", autouse=True)
def _broker_stays_healthy(broker: BrokerProcess) -> Iterator[None]:
    """Whatever clients did, no request failed inside the broker."""
    yield
    assert "request failed" not in broker.log
