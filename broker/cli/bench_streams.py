"""
The work of `broker bench`: streams of records through librdkafka, and requests through a bare socket.

Every record begins with its number, 8 bytes big-endian, so that a lost or a doubled one can be told. One partition, so
that the order can be checked, too. Settings are librdkafka's defaults but for these, the same for every server:
linger.ms=5 (a stream is batched), fetch.queue.backoff.ms=1 (or the client waits for a second when its queue is full).
"""

import socket
import struct
import time
from uuid import uuid4

from confluent_kafka import KafkaError, Message, TopicPartition
from confluent_kafka.cimpl import NewTopic

from broker.cli.cluster import REQUEST_SECONDS, Cluster
from broker.cli.refused import Refused
from broker.records import NewRecord, build_batch
from broker.wire.frame import decode_response, encode_request
from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData

IN_FLIGHT = 64
_PIPELINED_REQUESTS_MAX = 20_000
_PIPELINED_REQUESTS_A_MEGABYTE = 1_000
_ROUND_TRIPS = 1_000
_PRODUCE_VERSION = 9
_NUMBER = struct.Struct(">q")
_SIZE = struct.Struct(">i")
_QUIET_SECONDS = 20.0


class Lost(Exception):
    """A record that was acknowledged and is not there, or is there twice."""


class Streams:
    """One repetition on one cluster: topics are made when they are first written."""

    def __init__(self, cluster: Cluster, megabytes: int) -> None:
        self._cluster = cluster
        self._bytes = megabytes * 1_000_000
        self._requests = min(_PIPELINED_REQUESTS_MAX, megabytes * _PIPELINED_REQUESTS_A_MEGABYTE)
        self.written: dict[str, int] = {}
        """Records that were acknowledged, by topic."""
        self._topics: list[str] = []
        self._run = uuid4().hex[:8]

    def produce(self, size: int) -> float:
        """MB/s until the last record is acknowledged."""
        topic = self._create(str(size))
        count = self._bytes // size
        padding = bytes(size - _NUMBER.size)
        values = [_NUMBER.pack(number) + padding for number in range(count)]
        producer = self._cluster.producer({"linger.ms": 5, "queue.buffering.max.messages": 200_000, "acks": "1"})
        produce, poll, begun = producer.produce, producer.poll, time.perf_counter()
        for value in values:
            try:
                produce(topic, value)
            except BufferError:
                while True:
                    poll(0.01)
                    try:
                        produce(topic, value)
                        break
                    except BufferError:
                        continue
        left = producer.flush(_QUIET_SECONDS)
        seconds = time.perf_counter() - begun
        if left:
            raise Lost(f"{self._cluster.bootstrap}: {left} of {count} records of {size} bytes were not acknowledged")
        self.written[topic] = count
        return count * size / seconds / 1e6

    def consume(self, size: int) -> float:
        """MB/s from the first record's arrival to the last one's."""
        topic = self._topic(str(size))
        count = self.written[topic]
        consumer = self._cluster.consumer({"fetch.queue.backoff.ms": 1})
        try:
            consumer.assign([TopicPartition(topic, 0, 0)])
            consumer.consume(1, _QUIET_SECONDS)
            begun = time.perf_counter()
            seen = 1
            while seen < count:
                messages = consumer.consume(min(10_000, count - seen), _QUIET_SECONDS)
                if not messages:
                    raise Lost(f"{self._cluster.bootstrap}: {count} records were written, {seen} came back")
                seen += len(messages)
            return (count - 1) * size / (time.perf_counter() - begun) / 1e6
        finally:
            consumer.close()

    def round_trips(self) -> list[float]:
        """Microseconds from produce to acknowledgement, one record after the other; the first tenth is left out."""
        topic = self._create("single")
        producer = self._cluster.producer({"linger.ms": 0, "acks": "1"})
        failed: list[KafkaError] = []
        acknowledged = 0

        def delivered(error: KafkaError | None, _message: Message) -> None:
            nonlocal acknowledged
            acknowledged += 1
            if error is not None:
                failed.append(error)

        trips: list[float] = []
        for number in range(_ROUND_TRIPS):
            begun = time.perf_counter()
            producer.produce(topic, _NUMBER.pack(number) + bytes(92), on_delivery=delivered)
            while acknowledged <= number:
                producer.poll(1)
            trips.append((time.perf_counter() - begun) * 1e6)
        if failed:
            raise Lost(f"{self._cluster.bootstrap}: {failed[0].str()}")
        self.written[topic] = _ROUND_TRIPS
        return trips[_ROUND_TRIPS // 10 :]

    def pipelined(self) -> float:
        """Produce requests a second: one record each, IN_FLIGHT on their way, one connection, acks=1."""
        topic = self._create("pipelined")
        host, port = self._leader(topic)
        frames = [_frame(topic, number) for number in range(self._requests)]
        with socket.create_connection((host, port), timeout=_QUIET_SECONDS) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            begun = time.perf_counter()
            answers = _exchange(connection, frames)
            seconds = time.perf_counter() - begun
        _check(answers, self._cluster.bootstrap)
        self.written[topic] = self._requests
        return self._requests / seconds

    def verify(self) -> None:
        """Reads everything back, and compares number by number. Raises Lost."""
        for topic, count in self.written.items():
            consumer = self._cluster.consumer(
                {"fetch.queue.backoff.ms": 1, "fetch.wait.max.ms": 10, "enable.partition.eof": True}
            )
            try:
                consumer.assign([TopicPartition(topic, 0, 0)])
                expected = 0
                at_end = False
                while not at_end:
                    messages = consumer.consume(10_000, 0.2)
                    for message in messages:
                        error = message.error()
                        if error is not None:
                            if error.code() != KafkaError._PARTITION_EOF:
                                raise Refused(f"topic {topic!r}: {error.str()}")
                            at_end = True
                            continue
                        number = _NUMBER.unpack_from(message.value() or bytes(8))[0]
                        if number != expected:
                            raise Lost(
                                f"{self._cluster.bootstrap}, {topic} at offset {message.offset()}: expected record "
                                f"{expected}, got {number}"
                            )
                        expected += 1
                if expected != count:
                    raise Lost(
                        f"{self._cluster.bootstrap}, {topic}: {count} records were acknowledged, {expected} are there"
                    )
            finally:
                consumer.close()

    def delete(self) -> None:
        """Takes the topics away again."""
        if self._topics:
            for future in self._cluster.admin.delete_topics(self._topics, request_timeout=REQUEST_SECONDS).values():
                self._cluster.answer(future)
        self._topics.clear()

    def _leader(self, topic: str) -> tuple[str, int]:
        """Its address, when every broker has heard of the topic; a cluster takes a moment for that."""
        end = time.monotonic() + REQUEST_SECONDS
        while time.monotonic() < end:
            self._cluster.forget_metadata()
            metadata = self._cluster.metadata()
            found = metadata.topics.get(topic)
            leader = metadata.brokers.get(found.partitions[0].leader) if found and found.partitions else None
            if leader is not None:
                return str(leader.host), leader.port
            time.sleep(0.05)
        raise Refused(f"topic {topic!r} was made at {self._cluster.bootstrap}, but has no leader yet; try again")

    def _topic(self, name: str) -> str:
        return f"broker-bench-{self._run}-{name}"

    def _create(self, name: str) -> str:
        topic = self._topic(name)
        new = NewTopic(topic, num_partitions=1, replication_factor=-1)
        self._cluster.answer(self._cluster.admin.create_topics([new], request_timeout=REQUEST_SECONDS)[topic])
        self._topics.append(topic)
        return topic


def _frame(topic: str, number: int) -> bytes:
    batch = build_batch([NewRecord(None, _NUMBER.pack(number) + bytes(92))], timestamp=int(time.time() * 1000))
    data = PartitionProduceData(index=0, records=memoryview(batch))
    request = ProduceRequest(
        acks=1, timeout_ms=10_000, topic_data=[TopicProduceData(name=topic, partition_data=[data])]
    )
    return encode_request(request, _PRODUCE_VERSION, number, "broker-bench")


def _exchange(connection: socket.socket, frames: list[bytes]) -> bytes:
    """All answers, one behind the other. They are of one size, so they are counted without being read."""
    count = len(frames)
    sent = min(IN_FLIGHT, count)
    connection.sendall(b"".join(frames[:sent]))
    answers = bytearray()
    size = 0
    while not size or len(answers) < count * size:
        piece = connection.recv(1 << 16)
        if not piece:
            raise Lost(f"the connection was closed after {len(answers)} bytes of answers")
        answers += piece
        if not size and len(answers) >= _SIZE.size:
            size = _SIZE.size + _SIZE.unpack_from(answers)[0]
        upto = min(count, IN_FLIGHT + (len(answers) // size if size else 0))
        if upto > sent:
            connection.sendall(b"".join(frames[sent:upto]))
            sent = upto
    return bytes(answers)


def _check(answers: bytes, address: str) -> None:
    """Every request has its answer, in order, with the offset that its record should have. Raises Lost."""
    size = _SIZE.size + _SIZE.unpack_from(answers)[0]
    for number, start in enumerate(range(0, len(answers), size)):
        answered, response = decode_response(
            ProduceResponse, _PRODUCE_VERSION, answers[start + _SIZE.size : start + size]
        )
        (partition,) = response.responses[0].partition_responses
        if answered != number or partition.error_code or partition.base_offset != number:
            raise Lost(
                f"{address}: request {number} was answered as {answered}, error {partition.error_code}, "
                f"offset {partition.base_offset}"
            )
