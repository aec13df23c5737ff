"""Transactions with kafka-python 3 and aiokafka: clients with a protocol of their own."""

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as AioTopicPartition
from aiokafka.errors import ProducerFenced
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import TopicPartition as PythonTopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from tests.servers.broker_process import BrokerProcess


def create_topic(broker: BrokerProcess, topic: str, partitions: int = 1) -> None:
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    client.create_topics([NewTopic(topic, partitions, 1)])
    client.close()


def python_producer(broker: BrokerProcess, transactional_id: str) -> KafkaProducer:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=transactional_id)
    producer.init_transactions()
    return producer


def committed(broker: BrokerProcess, topic: str, count: int) -> list[bytes]:
    """The first *count* committed values, and no more if there are more."""
    reader = KafkaConsumer(
        bootstrap_servers=broker.bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        consumer_timeout_ms=1000,
    )
    place = PythonTopicPartition(topic, 0)
    reader.assign([place])
    values = [record.value for _, record in zip(range(count + 1), reader, strict=False)]
    reader.close()
    return values


def test_kafka_python_commits_aborts_and_fences(broker: BrokerProcess, topic: str) -> None:
    """Whichever version of transactions it picks; offsets join the transaction."""
    create_topic(broker, topic)
    producer = python_producer(broker, topic)
    for number in range(8):
        producer.begin_transaction()
        producer.send(topic, b"%d" % number, partition=0)
        if number % 4 == 3:
            producer.flush(10)
            producer.abort_transaction()
        else:
            producer.send_offsets_to_transaction(
                {PythonTopicPartition(topic, 0): OffsetAndMetadata(number, "", -1)}, f"{topic}.group"
            )
            producer.commit_transaction()
    successor = python_producer(broker, topic)
    with pytest.raises(KafkaError):
        producer.begin_transaction()
        producer.send(topic, b"zombie", partition=0).get(10)
        producer.commit_transaction()
    successor.begin_transaction()
    successor.send(topic, b"successor", partition=0)
    successor.commit_transaction()
    successor.close()
    producer.close(timeout=1)
    expected = [b"%d" % number for number in range(8) if number % 4 != 3]
    assert committed(broker, topic, 7) == [*expected, b"successor"]
    client = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    offsets = client.list_group_offsets(f"{topic}.group")
    client.close()
    assert {place.partition: found.offset for place, found in offsets[f"{topic}.group"].items()} == {0: 6}


@pytest.mark.anyio
async def test_aiokafka_commits_aborts_and_fences(broker: BrokerProcess, topic: str) -> None:
    """With the first version of transactions; offsets join the transaction."""
    create_topic(broker, topic)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic)
    await producer.start()
    place = AioTopicPartition(topic, 0)
    for number in range(8):
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"%d" % number, partition=0)
        await producer.send_offsets_to_transaction({place: number}, f"{topic}.group")
        if number % 4 == 3:
            await producer.abort_transaction()
        else:
            await producer.commit_transaction()
    successor = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id=topic)
    await successor.start()
    with pytest.raises(ProducerFenced):
        async with producer.transaction():
            await producer.send_and_wait(topic, b"zombie", partition=0)
    async with successor.transaction():
        await successor.send(topic, b"successor", partition=0)
    await successor.stop()
    await producer.stop()
    expected = [b"%d" % number for number in range(8) if number % 4 != 3] + [b"successor"]
    reader = AIOKafkaConsumer(
        bootstrap_servers=broker.bootstrap,
        group_id=f"{topic}.group",
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await reader.start()
    reader.assign([place])
    assert await reader.committed(place) == 6
    await reader.seek_to_beginning(place)
    assert [(await reader.getone()).value for _ in expected] == expected
    await reader.stop()
