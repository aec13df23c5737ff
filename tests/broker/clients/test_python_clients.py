"""kafka-python 3 and aiokafka: clients with a protocol of their own."""

import threading
import time

import anyio
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import TopicPartition as PythonTopicPartition
from kafka.admin import NewTopic

from tests.servers.broker_process import BrokerProcess


def create_topic(broker: BrokerProcess, topic: str, partitions: int) -> None:
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    client.create_topics([NewTopic(topic, partitions, 1)])
    client.close()


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_kafka_python_reads_back_what_it_produced(broker: BrokerProcess, topic: str, compression: str | None) -> None:
    """Keys, values and headers, idempotent as is its default."""
    create_topic(broker, topic, 3)
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, compression_type=compression)
    sent = {(b"k%d" % (number % 7), b"v%d" % number * 20) for number in range(500)}
    for key, value in sent:
        producer.send(topic, key=key, value=value, headers=[("h", b"1")])
    producer.flush(20)
    producer.close()
    reader = KafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=5000)
    reader.assign([PythonTopicPartition(topic, index) for index in range(3)])
    got = set()
    for record in reader:
        assert list(record.headers) == [("h", b"1")]
        got.add((record.key, record.value))
        if len(got) == len(sent):
            break
    reader.close()
    assert got == sent


def test_kafka_python_members_share_a_group_and_commit(broker: BrokerProcess, topic: str) -> None:
    """Two members with two partitions each, all records between them, and every partition committed to its end."""
    create_topic(broker, topic, 4)
    got: set[bytes] = set()
    owned = [0, 0]
    # A member that does not poll holds up everybody's rebalance, so both poll until both have seen all there is.
    end = time.monotonic() + 40
    committed_by_all = threading.Barrier(2, timeout=40)

    def member(number: int) -> None:
        reader = KafkaConsumer(
            topic,
            bootstrap_servers=broker.bootstrap,
            group_id=topic,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            heartbeat_interval_ms=500,
            metadata_max_age_ms=1000,
        )
        while len(got) < 200 and time.monotonic() < end:
            for records in reader.poll(200).values():
                got.update(record.value for record in records)
            owned[number] = len(reader.assignment())
        reader.commit()
        committed_by_all.wait()
        reader.close()

    members = [threading.Thread(target=member, args=(number,)) for number in range(2)]
    members[0].start()
    while owned != [4, 0] and time.monotonic() < end:
        time.sleep(0.05)
    members[1].start()
    while owned != [2, 2] and time.monotonic() < end:
        time.sleep(0.05)
    assert owned == [2, 2]
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    for number in range(200):
        producer.send(topic, value=b"%d" % number, partition=number % 4)
    producer.flush(20)
    producer.close()
    for each in members:
        each.join(60)
    assert got == {b"%d" % number for number in range(200)}
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    committed = client.list_group_offsets(topic)
    client.close()
    assert {place.partition: found.offset for place, found in committed[topic].items()} == dict.fromkeys(range(4), 50)


@pytest.mark.anyio
@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("idempotent", [True, False])
async def test_aiokafka_reads_back_what_it_produced(
    broker: BrokerProcess, topic: str, compression: str | None, idempotent: bool
) -> None:
    """Into a topic that is made by the first send, idempotent or not, by a group member that commits."""
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, enable_idempotence=idempotent, compression_type=compression
    )
    await producer.start()
    for number in range(300):
        await producer.send(topic, b"v%d" % number, key=b"k")
    await producer.stop()
    for part in range(2):
        reader = AIOKafkaConsumer(
            topic,
            bootstrap_servers=broker.bootstrap,
            group_id=topic,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await reader.start()
        records = [await reader.getone() for _ in range(150)]
        assert [record.value for record in records] == [b"v%d" % (part * 150 + number) for number in range(150)]
        await reader.commit({next(iter(reader.assignment())): records[-1].offset + 1})
        await reader.stop()


@pytest.mark.anyio
async def test_aiokafka_members_share_a_group_and_one_takes_over(broker: BrokerProcess, topic: str) -> None:
    """Alone with four partitions, then two and two, then alone again; every record is read."""
    create_topic(broker, topic, 4)
    got: dict[tuple[int, int], bytes] = {}

    def member() -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            topic,
            bootstrap_servers=broker.bootstrap,
            group_id=topic,
            auto_offset_reset="earliest",
            heartbeat_interval_ms=200,
        )

    async def poll_until(readers: list[AIOKafkaConsumer], owned: list[int], records: int) -> None:
        with anyio.fail_after(30):
            while [len(reader.assignment()) for reader in readers] != owned or len(got) < records:
                for reader in readers:
                    for batch in (await reader.getmany(timeout_ms=50)).values():
                        got.update({(record.partition, record.offset): record.value for record in batch})

    async def produce(numbers: range) -> None:
        async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
            for number in numbers:
                await producer.send(topic, b"%d" % number, partition=number % 4)

    first, second = member(), member()
    await first.start()
    await poll_until([first], [4], 0)
    await second.start()
    await poll_until([first, second], [2, 2], 0)
    await produce(range(200))
    await poll_until([first, second], [2, 2], 200)
    await second.stop()
    await produce(range(200, 400))
    await poll_until([first], [4], 400)
    await first.stop()
    assert got == {(number % 4, number // 4): b"%d" % number for number in range(400)}
