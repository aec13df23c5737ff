"""Fetch sessions with a client that has them: kafka-python."""

import time

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from broker.wire.messages.topics import CreatableTopic, CreateTopicsRequest, CreateTopicsResponse
from tests.servers.broker_process import BrokerProcess
from tests.servers.raw_client import RawClient

PARTITIONS = 40


def test_every_record_of_many_partitions_is_read_once_in_a_session(broker: BrokerProcess, topic: str) -> None:
    """Small answers, so that many incremental ones are needed; records come while it reads."""
    with RawClient(broker.host, broker.port) as client:
        wanted = CreatableTopic(name=topic, num_partitions=PARTITIONS, replication_factor=1)
        assert client.ask(CreateTopicsRequest(topics=[wanted]), CreateTopicsResponse, 7).topics[0].error_code == 0
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=1)
    consumer = KafkaConsumer(
        bootstrap_servers=broker.bootstrap, fetch_max_bytes=8192, max_partition_fetch_bytes=4096, fetch_max_wait_ms=50
    )
    assert consumer.config["enable_incremental_fetch_sessions"]
    everything = [TopicPartition(topic, index) for index in range(PARTITIONS)]
    consumer.assign(everything)
    consumer.seek_to_beginning(*everything)
    sent, got = 0, list[bytes]()
    end = time.monotonic() + 30
    while (sent < 2000 or len(got) < sent) and time.monotonic() < end:
        if sent < 2000:
            for _ in range(100):
                producer.send(topic, value=b"%06d" % sent + bytes(200), partition=(sent // 50) % PARTITIONS)
                sent += 1
            producer.flush(10)
        for records in consumer.poll(timeout_ms=100).values():
            got += [record.value[:6] for record in records]
    assert sorted(got) == [b"%06d" % number for number in range(2000)]
    # A partition that is left out is forgotten, one that comes back is told of again.
    consumer.assign(everything[:1])
    consumer.seek(everything[0], 0)
    producer.send(topic, value=b"elsewhere", partition=1).get(10)
    assert {place.partition for place in consumer.poll(timeout_ms=2000)} == {0}
    consumer.close()
    producer.close()
