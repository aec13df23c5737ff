"""Transactions with real clients: librdkafka through confluent-kafka."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.servers.broker_process import BrokerProcess, running_broker


def create_topic(broker: BrokerProcess, topic: str, partitions: int = 1, **config: str) -> None:
    client = AdminClient({"bootstrap.servers": broker.bootstrap})
    settings = {key.replace("_", "."): value for key, value in config.items()}
    client.create_topics([NewTopic(topic, partitions, 1, config=settings)])[topic].result(10)


def transactional(broker: BrokerProcess, transactional_id: str, **settings: object) -> Producer:
    """An initialised producer."""
    producer = Producer(
        {"bootstrap.servers": broker.bootstrap, "transactional.id": transactional_id, "linger.ms": 0, **settings}
    )
    producer.init_transactions(15)
    return producer


def write(producer: Producer, topic: str, *values: bytes, committed: bool = True, partition: int = 0) -> None:
    """One transaction."""
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=partition)
    if committed:
        producer.commit_transaction(15)
    else:
        producer.flush(15)
        producer.abort_transaction(15)


def read(
    broker: BrokerProcess,
    topic: str,
    *,
    partitions: int = 1,
    isolation: str = "read_committed",
    until: Callable[[list[bytes]], bool] | None = None,
    seconds: float = 10,
) -> list[bytes]:
    """The values up to the last stable offset (or the end), or until *until* is content."""
    reader = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": f"{topic}-reader",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
    )
    values: list[bytes] = []
    ended: set[int] = set()
    reader.assign([TopicPartition(topic, index, OFFSET_BEGINNING) for index in range(partitions)])
    end = time.monotonic() + seconds
    while time.monotonic() < end and (not until(values) if until else len(ended) < partitions):
        message = reader.poll(0.2)
        if message is None:
            continue
        error = message.error()
        if error is None:
            values.append(message.value() or b"")
        elif error.code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition() or 0)
        else:
            raise AssertionError(error)
    reader.close()
    return values


def test_committed_records_are_read_and_aborted_ones_are_not(broker: BrokerProcess, topic: str) -> None:
    """Over several partitions; who reads uncommitted sees both."""
    create_topic(broker, topic, 3)
    producer = transactional(broker, topic)
    for number in range(30):
        write(producer, topic, b"%d" % number, b"%d" % number, committed=number % 3 != 0, partition=number % 3)
    write(producer, topic, b"last", partition=1)
    expected = sorted([b"%d" % number for number in range(30) if number % 3] * 2 + [b"last"])
    assert sorted(read(broker, topic, partitions=3)) == expected
    assert len(read(broker, topic, partitions=3, isolation="read_uncommitted")) == 61


def test_an_open_transaction_holds_back_what_comes_behind_it(broker: BrokerProcess, topic: str) -> None:
    """Also what was committed by others; when it ends, all of it is there in the order of the log."""
    create_topic(broker, topic)
    slow, quick = transactional(broker, f"{topic}-slow"), transactional(broker, f"{topic}-quick")
    write(quick, topic, b"before")
    slow.begin_transaction()
    slow.produce(topic, b"slow", partition=0)
    slow.flush(10)
    write(quick, topic, b"behind")
    assert read(broker, topic) == [b"before"]
    assert read(broker, topic, isolation="read_uncommitted") == [b"before", b"slow", b"behind"]
    slow.commit_transaction(10)
    assert read(broker, topic) == [b"before", b"slow", b"behind"]


def test_a_second_producer_fences_the_first(broker: BrokerProcess, topic: str) -> None:
    """The first one's open transaction is aborted, and its commit fails for good."""
    create_topic(broker, topic)
    zombie = transactional(broker, topic)
    zombie.begin_transaction()
    zombie.produce(topic, b"zombie", partition=0)
    zombie.flush(10)
    successor = transactional(broker, topic)
    write(successor, topic, b"successor")
    with pytest.raises(KafkaException) as fenced:
        zombie.commit_transaction(10)
    assert fenced.value.args[0].fatal()
    assert read(broker, topic) == [b"successor"]


def test_consume_transform_produce_happens_exactly_once(broker: BrokerProcess, topic: str) -> None:
    """Offsets and output are one: what an aborted round had read is read again, what a committed one had is not."""
    source, target, group = f"{topic}.in", f"{topic}.out", f"{topic}.group"
    create_topic(broker, source)
    create_topic(broker, target)
    feeder = Producer({"bootstrap.servers": broker.bootstrap})
    for number in range(100):
        feeder.produce(source, b"%d" % number, partition=0)
    assert feeder.flush(10) == 0
    rounds = 0
    done = 0
    while done < 100:
        # A new worker every few rounds, as after a crash: it takes over where the last commit was.
        worker = transactional(broker, topic)
        consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap,
                "group.id": group,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([source])
        for _ in range(4):
            messages = consumer.consume(10, 5)
            if not messages:
                break
            rounds += 1
            worker.begin_transaction()
            for message in messages:
                worker.produce(target, b"did " + (message.value() or b""), partition=0)
            worker.send_offsets_to_transaction(
                consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 10
            )
            if rounds % 3 == 2:
                worker.abort_transaction(10)
                break
            worker.commit_transaction(10)
            done += len(messages)
        consumer.close()
    assert rounds > 10
    assert read(broker, target) == [b"did %d" % number for number in range(100)]


def test_the_broker_is_killed_in_the_middle_of_transactions(tmp_path: Path) -> None:
    """Everything committed is read once, nothing aborted ever; the producers go on by themselves."""
    with running_broker(tmp_path / "data") as broker:
        create_topic(broker, "t", 2)
        producer = transactional(broker, "tx")
        committed: list[bytes] = []
        unknown: list[bytes] = []
        for number in range(60):
            value = b"%d" % number
            if number % 12 == 6:
                producer.begin_transaction()
                producer.produce("t", value, partition=0)
                producer.produce("t", value, partition=1)
                if number % 24 == 6:
                    producer.flush(10)
                broker.kill()
                broker.start()
            else:
                producer.begin_transaction()
                producer.produce("t", value, partition=0)
                producer.produce("t", value, partition=1)
            try:
                if number % 5 == 4:
                    producer.abort_transaction(30)
                else:
                    producer.commit_transaction(30)
                    committed.append(value)
            except KafkaException as error:
                if error.args[0].fatal():
                    raise
                unknown.append(value)
                producer.abort_transaction(30)
        got = read(broker, "t", partitions=2, seconds=20)
        assert sorted(got) == sorted(committed * 2)
        assert len(committed) + len(unknown) == 48


@pytest.mark.timeout(300)
def test_offsets_equal_output_whatever_is_killed(tmp_path: Path) -> None:
    """Exactly once from topic to topic: the worker is killed again and again, the broker at every second time too."""
    records = 600
    with running_broker(tmp_path / "data") as broker:
        create_topic(broker, "in")
        create_topic(broker, "out", 2)
        feeder = Producer({"bootstrap.servers": broker.bootstrap})
        for number in range(records):
            feeder.produce("in", b"%d" % number, partition=0)
        assert feeder.flush(10) == 0
        expected = sorted([b"%d" % number for number in range(records)] * 2)
        for life in range(30):
            command = [sys.executable, "-m", "tests.broker.clients.copying_worker", broker.bootstrap]
            worker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            # Longer and longer: on a busy machine a second is over before it has begun.
            time.sleep(1.0 + life / 10)
            if life % 2:
                broker.kill()
                broker.start()
                time.sleep(0.5)
            worker.kill()
            worker.wait(10)
            if life >= 5 and len(read(broker, "out", partitions=2)) >= len(expected):
                break
        # What the last worker has left open is aborted by its successor.
        transactional(broker, "worker")
        assert sorted(read(broker, "out", partitions=2)) == expected


def test_a_transaction_that_its_producer_left_is_aborted_by_its_timeout(tmp_path: Path) -> None:
    """Also when the broker was killed meanwhile: readers are held back until then, and not longer."""
    with running_broker(tmp_path / "data") as broker, ExitStack() as left:
        create_topic(broker, "t")
        gone = transactional(broker, "gone", **{"transaction.timeout.ms": 3000})
        left.callback(lambda: gone)
        open_since = time.monotonic()
        gone.begin_transaction()
        gone.produce("t", b"never", partition=0)
        gone.flush(10)
        broker.kill()
        broker.start()
        write(transactional(broker, "other"), "t", b"behind")
        seen = read(broker, "t")
        began = time.monotonic()
        # On a slow machine its time may be over by now.
        assert seen == [] or began - open_since > 3
        assert read(broker, "t", until=lambda values: values == [b"behind"], seconds=40) == [b"behind"]
        assert time.monotonic() - began < 30


def test_a_commit_on_a_topic_that_syncs_before_it_acknowledges(broker: BrokerProcess, topic: str) -> None:
    """The decision and the markers are on the disk when the producer is answered."""
    create_topic(broker, topic, 2, flush_before_ack="true")
    producer = transactional(broker, topic)
    for number in range(10):
        producer.begin_transaction()
        for partition in (0, 1):
            producer.produce(topic, b"%d" % number, partition=partition)
        producer.commit_transaction(10)
    assert sorted(read(broker, topic, partitions=2)) == sorted([b"%d" % number for number in range(10)] * 2)


def test_the_time_from_a_batch_to_its_commit_is_measured(
    broker: BrokerProcess, topic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One record and its commit, on the loopback; printed, because it says more of the machine than of the broker."""
    create_topic(broker, topic)
    producer = transactional(broker, topic)
    took: list[float] = []
    for number in range(200):
        began = time.perf_counter()
        write(producer, topic, b"%d" % number)
        took.append((time.perf_counter() - began) * 1000)
    quantiles = statistics.quantiles(took, n=100)
    with capsys.disabled():
        print(f"\nrecord to commit: p50 {quantiles[49]:.2f} ms, p99 {quantiles[98]:.2f} ms")  # noqa: T201 - a measurement
