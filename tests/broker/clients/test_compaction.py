"""Compaction as clients see it: confluent-kafka against `broker serve`."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.servers.broker_process import BrokerProcess, running_broker

KEYS = 50
COMPACTED = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "100",
    "max.compaction.lag.ms": "300",
    "internal.segment.bytes": "20000",
}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    with running_broker(tmp_path / "data", "--set", "log.cleaner.backoff.ms=100") as broker:
        yield broker


def create(broker: BrokerProcess, topic: str, **config: str) -> None:
    client = AdminClient({"bootstrap.servers": broker.bootstrap})
    client.create_topics([NewTopic(topic, 1, 1, config={**COMPACTED, **config})])[topic].result(10)


def read_all(broker: BrokerProcess, topic: str) -> list[tuple[int, bytes, bytes | None]]:
    """(offset, key, value) from the start to the end, committed ones only."""
    reader = Consumer(
        {"bootstrap.servers": broker.bootstrap, "group.id": "reader", "enable.partition.eof": True, "check.crcs": True}
    )
    reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    found: list[tuple[int, bytes, bytes | None]] = []
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for message in reader.consume(1000, 0.2):
            if message.error() is not None:
                reader.close()
                return found
            found.append((message.offset(), message.key(), message.value()))
    raise AssertionError("no end of the partition within 20 s")


def table(records: list[tuple[int, bytes, bytes | None]]) -> dict[bytes, bytes]:
    newest = {key: value for _, key, value in records}
    return {key: value for key, value in newest.items() if value is not None}


@pytest.mark.parametrize("settings", [{}, {"enable.idempotence": True, "compression.type": "zstd"}])
def test_the_last_value_of_every_key_stays_and_deleted_keys_vanish(
    broker: BrokerProcess, settings: dict[str, Any]
) -> None:
    """A consumer that reads from the start while the log is compacted sees the same table every time."""
    create(broker, "table")
    producer = Producer({"bootstrap.servers": broker.bootstrap, "linger.ms": 2, **settings})
    expected: dict[bytes, bytes] = {}
    written: dict[int, tuple[bytes, bytes | None]] = {}
    errors: list[object] = []

    def delivered(error: object, message: Any) -> None:
        if error is not None:
            errors.append(error)
        written[message.offset()] = (message.key(), message.value())

    for turn in range(30):
        for number in range(KEYS):
            key, value = b"key-%d" % number, b"%d-%d" % (turn, number) + b"." * 50
            producer.produce("table", value, key, on_delivery=delivered)
            expected[key] = value
        producer.produce("table", None, b"key-%d" % (turn % 10), on_delivery=delivered)
        expected.pop(b"key-%d" % (turn % 10), None)
        assert producer.flush(10) == 0
        if turn % 6 == 5:
            records = read_all(broker, "table")
            assert table(records) == expected
            assert all(written[offset] == (key, value) for offset, key, value in records)
    deleted = {b"key-%d" % number for number in range(10)} - expected.keys()
    for number in range(1000):
        # A log is compacted again only when something new is in it.
        producer.produce("table", b"%d" % number, b"beat", on_delivery=delivered)
        assert producer.flush(10) == 0
        time.sleep(0.1)
        if number % 5 == 4:
            records = read_all(broker, "table")
            assert table(records) == {**expected, b"beat": b"%d" % number}
            if len(records) < KEYS + 20 and not deleted & {key for _, key, _ in records}:
                break
    else:
        raise AssertionError(f"{len(records)} records are left of {len(written)}, deleted keys among them")
    assert not errors
    assert "log compacted partition=table-0" in broker.log
    broker.kill()
    broker.start()
    assert table(read_all(broker, "table")) == {**expected, b"beat": b"%d" % number}


def test_aborted_values_replace_nothing_and_go(broker: BrokerProcess) -> None:
    create(broker, "table")
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "writer"})
    producer.init_transactions(10)
    for turn in range(20):
        producer.begin_transaction()
        for number in range(10):
            producer.produce("table", b"%d" % turn, b"key-%d" % number)
        if turn % 2:
            producer.abort_transaction(10)
        else:
            producer.commit_transaction(10)
        time.sleep(0.1)
    end = time.monotonic() + 20
    while "log compacted partition=table-0" not in broker.log:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert table(read_all(broker, "table")) == {b"key-%d" % number: b"18" for number in range(10)}
