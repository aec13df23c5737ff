"""
Numbered records: written by librdkafka, read back and told apart from lost, doubled and disordered ones.

Every value begins with its number, 8 bytes big-endian. One partition, unless said otherwise, so that the order can be
checked. Settings are librdkafka's defaults but for linger.ms=5 (a stream is batched) and fetch.queue.backoff.ms=1 (or
the client waits for a second when its queue is full), the same for every server.
"""

import random
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.case import Unsound
from broker.cli.bench_process import ServerProcess

NUMBER = struct.Struct(">q")
QUIET_SECONDS = 20.0
_PADDINGS = 64
Options = Mapping[str, str | int | float | bool]


@contextmanager
def topic(
    address: str, partitions: int = 1, *, settings: Mapping[str, str] | None = None, name: str | None = None
) -> Iterator[str]:
    """A topic of its own, which is deleted with the block."""
    name = name or f"bench-{uuid4().hex[:10]}"
    new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(settings or {}))
    _administer(address, lambda admin: admin.create_topics([new], request_timeout=60), KafkaError.TOPIC_ALREADY_EXISTS)
    try:
        _wait_for_leaders(AdminClient({"bootstrap.servers": address, "log_level": 0}), name, partitions)
        yield name
    finally:
        _administer(
            address, lambda admin: admin.delete_topics([name], request_timeout=60), KafkaError.UNKNOWN_TOPIC_OR_PART
        )


def _administer(address: str, ask: Callable[[AdminClient], Mapping[str, "Future[None]"]], done_before: int) -> None:
    """
    Asks, and asks again where librdkafka itself has given up: it does so when it exchanges its handle of a broker while
    a request is under way. What was done the first time is then answered with *done_before*.
    """
    for attempt in range(4):
        try:
            admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
            for future in ask(admin).values():
                future.result()
        except KafkaException as error:
            code = error.args[0].code()
            if attempt and code == done_before:
                return
            if attempt == 3 or code >= 0:
                raise
            time.sleep(0.2)
        else:
            return


def _wait_for_leaders(admin: AdminClient, name: str, partitions: int) -> None:
    end = time.monotonic() + 3 * QUIET_SECONDS
    while time.monotonic() < end:
        found = admin.list_topics(name, timeout=10).topics[name].partitions
        if len(found) == partitions and all(each.leader >= 0 for each in found.values()):
            return
        time.sleep(0.02)
    raise TimeoutError(f"topic {name} has no leaders after {3 * QUIET_SECONDS:.0f} s")


def values_of(size: int, count: int) -> list[bytes]:
    """
    *count* numbered values of *size* bytes. What follows the number is hexadecimal text, of which a codec makes about
    half, as it does of JSON.
    """
    chance = random.Random(9)
    paddings = [chance.randbytes((size - 8) // 2 + 1).hex().encode()[: size - 8] for _ in range(_PADDINGS)]
    return [NUMBER.pack(number) + paddings[number % _PADDINGS] for number in range(count)]


def producer_of(address: str, options: Options | None = None) -> Producer:
    return Producer(
        {
            "bootstrap.servers": address,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 1_048_576,
            "log_level": 0,
            **(options or {}),
        }
    )


def consumer_of(address: str, options: Options | None = None) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": address,
            "group.id": f"bench-{uuid4().hex[:8]}",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.queue.backoff.ms": 1,
            "log_level": 0,
            **(options or {}),
        }
    )


def produce(producer: Producer, name: str, values: Sequence[bytes], partitions: int = 1) -> float:
    """Seconds until the last one is acknowledged; with several partitions they take turns."""
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            failed.append(error)

    begun = time.perf_counter()
    for number, value in enumerate(values):
        while True:
            try:
                producer.produce(name, value, partition=number % partitions, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.01)
    # A server that is slow is measured, and not taken for one that loses records.
    left = producer.flush(3 * QUIET_SECONDS)
    seconds = time.perf_counter() - begun
    if left or failed:
        raise Unsound(f"of {len(values)} records {left} were not acknowledged, {len(failed)} refused: {failed[:1]}")
    return seconds


def consume(consumer: Consumer, name: str, count: int, partitions: int = 1) -> float:
    """Seconds from the first record's arrival to the last one's; they are counted, not looked at."""
    consumer.assign([TopicPartition(name, number, 0) for number in range(partitions)])
    seen = len(consumer.consume(1, QUIET_SECONDS))
    begun = time.perf_counter()
    while seen < count:
        messages = consumer.consume(min(10_000, count - seen), QUIET_SECONDS)
        if not messages:
            raise Unsound(f"{count} records were written, {seen} came back")
        seen += len(messages)
    return time.perf_counter() - begun


def check(address: str, name: str, count: int) -> None:
    """Reads a topic of one partition whole: numbers 0 to *count* - 1, in order. Raises Unsound."""
    consumer = consumer_of(address, {"enable.partition.eof": True, "fetch.wait.max.ms": 10})
    try:
        consumer.assign([TopicPartition(name, 0, 0)])
        expected = 0
        end = time.monotonic() + QUIET_SECONDS
        while True:
            # It waits for as many as it is asked for: a short time, again and again, or the last ones take it whole.
            messages = consumer.consume(10_000, 0.1)
            if messages:
                end = time.monotonic() + QUIET_SECONDS
            elif time.monotonic() > end:
                raise Unsound(f"{count} records were acknowledged, {expected} are there")
            for message in messages:
                error = message.error()
                if error is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise Unsound(str(error))
                    if expected != count:
                        raise Unsound(f"{count} records were acknowledged, {expected} are there")
                    return
                number = NUMBER.unpack_from(message.value() or bytes(8))[0]
                if number != expected:
                    raise Unsound(f"at offset {message.offset()}: expected record {expected}, got {number}")
                expected += 1
    finally:
        consumer.close()


class Used:
    """CPU seconds that a server has used since this was made, and its memory."""

    def __init__(self, pid: int) -> None:
        self._process = ServerProcess(pid)
        self._before = self._process.cpu_seconds()

    def cpu_per_gb(self, size: float) -> float:
        return (self._process.cpu_seconds() - self._before) / (size / 1e9)

    def megabytes(self) -> float:
        return self._process.resident_megabytes()
