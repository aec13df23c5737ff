"""Exactly once through librdkafka: offsets of a consumer group of the new protocol, committed in transactions."""

import time

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.broker.clients.test_confluent_kafka import create_topic, produce, wait_for
from tests.servers.broker_process import BrokerProcess


def test_what_is_consumed_and_produced_in_transactions_is_there_once(broker: BrokerProcess, topic: str) -> None:
    """Every second transaction is aborted and done again; output and offsets agree."""
    copy = f"{topic}-copy"
    create_topic(broker, topic, 1)
    create_topic(broker, copy, 1)
    values = [str(number).encode() for number in range(100)]
    produce(broker, topic, values)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": topic})
    producer.init_transactions(10)
    reader = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": topic,
            "group.protocol": "consumer",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    reader.subscribe([topic])
    done, aborted, end = 0, False, time.monotonic() + 20
    while done < len(values):
        assert time.monotonic() < end
        messages = reader.consume(10, 0.5)
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            assert message.error() is None
            producer.produce(copy, message.value())
        producer.send_offsets_to_transaction(reader.position(reader.assignment()), reader.consumer_group_metadata())
        aborted = not aborted
        if aborted:
            producer.abort_transaction()
            reader.seek(TopicPartition(topic, 0, messages[0].offset()))
        else:
            producer.commit_transaction()
            done += len(messages)
    committed = reader.committed([TopicPartition(topic, 0)], timeout=10)
    assert committed[0].offset == len(values)
    reader.close()
    checker = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": f"{topic}-checker"})
    checker.assign([TopicPartition(copy, 0, 0)])
    found: list[bytes | None] = []
    wait_for(lambda: bool(found.extend(each.value() for each in checker.consume(100, 0.3)) or len(found) >= 100))
    assert found == values
    checker.close()
