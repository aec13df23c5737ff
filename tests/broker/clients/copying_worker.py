"""
Copies topic "in" to both partitions of "out", exactly once, until it is killed: `python -m … BOOTSTRAP`.

A process of its own, so that it can be killed in the middle of whatever it does.
"""

import sys

from confluent_kafka import Consumer, Producer


def main(bootstrap: str) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "worker", "linger.ms": 0})
    producer.init_transactions(15)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "g",
            # A static member: its successor takes its place at once.
            "group.instance.id": "worker",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(["in"])
    while True:
        messages = [each for each in consumer.consume(7, 0.5) if each.error() is None]
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            for partition in (0, 1):
                producer.produce("out", message.value(), partition=partition)
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 10
        )
        producer.commit_transaction(10)


if __name__ == "__main__":
    main(sys.argv[1])
