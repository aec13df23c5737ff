"""Apache Kafka reads what `broker` writes down of groups."""

import uuid

import pytest
from confluent_kafka import Consumer, Producer

from tests.broker.clients.test_confluent_kafka import create_topic, poll, wait_for
from tests.interop.toolchain import java_tool
from tests.servers.broker_process import BrokerProcess

pytestmark = pytest.mark.interop


def test_dump_log_decodes_the_records_of_groups_of_both_protocols(broker: BrokerProcess) -> None:
    """kafka-dump-log --offsets-decoder: commits, generations, members, epochs, targets, assignments, expressions."""
    name = f"records-{uuid.uuid4().hex[:8]}"
    create_topic(broker, name, 2)
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(10):
        producer.produce(name, str(number), key=str(number))
    assert producer.flush(10) == 0
    for protocol, subscription in (("classic", name), ("consumer", f"^{name}.*")):
        reader = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": f"{name}-{protocol}",
                "group.protocol": protocol,
                "client.id": "reader",
                "auto.offset.reset": "earliest",
            }
        )
        reader.subscribe([subscription])
        wait_for(lambda reader=reader: len(poll(reader)) == 2)
        reader.consume(10, 5)
        reader.commit(asynchronous=False)
        reader.close()
    segments = sorted(broker.data_dir.glob("__consumer_offsets-*/*.log"))
    printed = java_tool(
        "org.apache.kafka.tools.DumpLogSegments", "--offsets-decoder", "--files", ",".join(map(str, segments))
    )
    of_consumers = [line for line in printed.splitlines() if f'"{name}-consumer"' in line]
    kinds = {kind for kind in (1, 3, 5, 6, 7, 8, 16) if any(f'"type":"{kind}"' in line for line in of_consumers)}
    assert kinds == {1, 3, 5, 6, 7, 8, 16}
    assert any(f'"{name}-classic"' in line and '"type":"2"' in line for line in printed.splitlines())
    assert any('"subscribedTopicRegex":' in line and '"clientId":"reader"' in line for line in of_consumers)
    assert any('"assignedPartitions":[{' in line and '"partitions":[0,1]' in line for line in of_consumers)
    assert "Could not" not in printed
    assert "Failed" not in printed
