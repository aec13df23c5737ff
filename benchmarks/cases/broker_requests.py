"""The broker one request at a time: round trips, pipelining, latency at fixed rates, connections, transactions."""

import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Final
from uuid import uuid4

from confluent_kafka import Producer, TopicPartition

from benchmarks import numbered
from benchmarks.case import Case, Contestant, Doing, Figures, Measure, Mode, Target, Unsound
from benchmarks.figures import percentile
from benchmarks.numbered import NUMBER
from benchmarks.room import Room, Server
from broker.records import NewRecord, build_batch
from broker.wire.frame import decode_response, encode_request
from broker.wire.messages.produce import PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData

_PERCENTILES: Final = (
    Measure("p50", "µs", more_is_better=False),
    Measure("p99", "µs", more_is_better=False),
    Measure("p99.9", "µs", more_is_better=False),
)
_REQUESTS: Final = Measure("rate", "requests/s", more_is_better=True)
_BOTH: Final = frozenset({Mode.FULL, Mode.QUICK})
_SIZE: Final = struct.Struct(">i")
_IN_FLIGHT: Final = 64
_VERSION: Final = 9


@contextmanager
def _opened(work: "partial[Figures]", room: Room) -> Iterator[Sequence[Contestant]]:
    yield [Doing(server.name, partial(work, room, server)) for server in room.servers()]


def _spread(micros: Sequence[float]) -> Figures:
    return {"p50": percentile(micros, 0.5), "p99": percentile(micros, 0.99), "p99.9": percentile(micros, 0.999)}


def _round_trips(room: Room, server: Server) -> Figures:
    """From produce to its acknowledgement, one record after the other; the first tenth is left out."""
    count = room.sized(3_000)
    with numbered.topic(server.address) as name:
        producer = numbered.producer_of(server.address, {"linger.ms": 0, "acks": "1"})
        acknowledged = 0

        def delivered(error: object, _message: object) -> None:
            nonlocal acknowledged
            if error is not None:
                raise Unsound(str(error))
            acknowledged += 1

        micros: list[float] = []
        for number in range(count):
            begun = time.perf_counter()
            producer.produce(name, NUMBER.pack(number) + bytes(92), on_delivery=delivered)
            while acknowledged <= number:
                producer.poll(1)
            micros.append((time.perf_counter() - begun) * 1e6)
        numbered.check(server.address, name, count)
    return _spread(micros[count // 10 :])


def frame(name: str, number: int) -> bytes:
    """A produce request of one record of 100 bytes, acks=1."""
    batch = build_batch([NewRecord(None, NUMBER.pack(number) + bytes(92))], timestamp=int(time.time() * 1000))
    data = PartitionProduceData(index=0, records=memoryview(batch))
    request = ProduceRequest(acks=1, timeout_ms=10_000, topic_data=[TopicProduceData(name=name, partition_data=[data])])
    return encode_request(request, _VERSION, number, "bench")


def connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _pipelined(room: Room, server: Server) -> Figures:
    """One connection, 64 requests on their way; answers are of one size, counted, and looked at afterwards."""
    count = room.sized(20_000)
    with numbered.topic(server.address) as name, connected(server.address) as connection:
        frames = [frame(name, number) for number in range(count)]
        begun = time.perf_counter()
        connection.sendall(b"".join(frames[:_IN_FLIGHT]))
        sent, size, answers = min(_IN_FLIGHT, count), 0, bytearray()
        while not size or len(answers) < count * size:
            piece = connection.recv(1 << 16)
            if not piece:
                raise Unsound(f"the connection was closed after {len(answers)} bytes of answers")
            answers += piece
            if not size and len(answers) >= _SIZE.size:
                size = _SIZE.size + _SIZE.unpack_from(answers)[0]
            upto = min(count, _IN_FLIGHT + (len(answers) // size if size else 0))
            if upto > sent:
                connection.sendall(b"".join(frames[sent:upto]))
                sent = upto
        seconds = time.perf_counter() - begun
        for number in range(count):
            body = bytes(answers[number * size + _SIZE.size : (number + 1) * size])
            answered, response = decode_response(ProduceResponse, _VERSION, body)
            (partition,) = response.responses[0].partition_responses
            if answered != number or partition.error_code or partition.base_offset != number:
                raise Unsound(f"request {number} was answered as {answered}, error {partition.error_code}")
        numbered.check(server.address, name, count)
    return {"rate": count / seconds}


def _latency(rate: int, room: Room, server: Server) -> Figures:
    """Records of 100 B at a fixed rate; from produce to the moment when a consumer that waits for it has it."""
    count = max(50, round(rate * 1.5 * room.sized(100) / 100))
    with numbered.topic(server.address) as name, ExitStack() as ending:
        consumer = numbered.consumer_of(server.address, {"fetch.wait.max.ms": 100})
        ending.callback(consumer.close)
        consumer.assign([TopicPartition(name, 0, 0)])
        consumer.consume(1, 0.3)
        producer = numbered.producer_of(server.address, {"linger.ms": 0, "acks": "1"})
        sent = [0.0] * count

        def write() -> None:
            begun = time.perf_counter() + 0.02
            for number in range(count):
                # A late one does not delay those behind it: they are sent at their own times, or at once.
                while (wait := begun + number / rate - time.perf_counter()) > 0:
                    time.sleep(wait)
                sent[number] = time.perf_counter()
                producer.produce(name, NUMBER.pack(number) + bytes(92))
                producer.poll(0)
            producer.flush(20)

        writer = threading.Thread(target=write)
        writer.start()
        micros: list[float] = []
        try:
            while len(micros) < count:
                messages = consumer.consume(1, 10)
                now = time.perf_counter()
                if not messages:
                    raise Unsound(f"{count} records were written, {len(micros)} came")
                for message in messages:
                    (number,) = NUMBER.unpack_from(message.value() or bytes(8))
                    if number != len(micros):
                        raise Unsound(f"expected record {len(micros)}, got {number}")
                    micros.append((now - sent[number]) * 1e6)
        finally:
            writer.join()
    return _spread(micros[count // 10 :])


_CONNECTIONS: Final = (1, 10, 100, 500)


def _connections(room: Room, server: Server) -> Figures:
    """As many connections as that, each with one request on its way; requests a second of all."""
    figures: dict[str, float] = {}
    for connections in _CONNECTIONS[:3] if room.is_quick else _CONNECTIONS:
        count = max(connections * 4, room.sized(6_000))
        with numbered.topic(server.address) as name, ExitStack() as ending:
            sockets = [ending.enter_context(connected(server.address)) for _ in range(connections)]
            waiting = ending.enter_context(selectors.DefaultSelector())
            frames = iter([frame(name, number) for number in range(count)])
            begun = time.perf_counter()
            for each in sockets:
                waiting.register(each, selectors.EVENT_READ, bytearray())
                each.sendall(next(frames))
            answered = 0
            while answered < count:
                ready = waiting.select(20)
                if not ready:
                    raise Unsound(f"{connections} connections: of {count} requests {answered} were answered")
                for key, _ in ready:
                    answering = key.fileobj
                    assert isinstance(answering, socket.socket)
                    key.data.extend(answering.recv(4096))
                    if len(key.data) < _SIZE.size or len(key.data) < _SIZE.size + _SIZE.unpack_from(key.data)[0]:
                        continue
                    key.data.clear()
                    answered += 1
                    following = next(frames, None)
                    if following is not None:
                        answering.sendall(following)
            figures[f"rate@{connections}"] = count / (time.perf_counter() - begun)
            written = _records(server, name)
            if written != count:
                raise Unsound(f"{connections} connections: {count} records were acknowledged, {written} are there")
    return figures


def _records(server: Server, name: str) -> int:
    consumer = numbered.consumer_of(server.address)
    try:
        return consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=10)[1]
    finally:
        consumer.close()


def _transactions(records: int, room: Room, server: Server) -> Figures:
    """Begin, produce, commit, one after the other; a consumer that reads committed finds every record once."""
    count = room.sized(200 if records > 1 else 400)
    with numbered.topic(server.address) as name:
        producer: Producer = numbered.producer_of(
            server.address, {"transactional.id": f"bench-{uuid4().hex[:8]}", "linger.ms": 0}
        )
        producer.init_transactions(20)
        begun = time.perf_counter()
        for number in range(count):
            producer.begin_transaction()
            for each in range(records):
                producer.produce(name, NUMBER.pack(number * records + each) + bytes(92))
            producer.commit_transaction(20)
        seconds = time.perf_counter() - begun
        numbered.check(server.address, name, count * records)
    return {"rate": count / seconds}


def _pick(name: str, title: str, rate: int) -> Case:
    return Case(f"broker.latency.{name}", title, _PERCENTILES, "broker", partial(_opened, partial(_latency, rate)))


CASES: Final = (
    Case(
        "broker.round_trip.acks1",
        "Produce one record, acks=1, and wait for its answer",
        _PERCENTILES,
        "broker",
        partial(_opened, partial(_round_trips)),
        (Target("p50", "broker", "Apache Kafka", 0.8, at_least=False),),
        _BOTH,
    ),
    Case(
        "broker.pipelined.64",
        "Produce requests of one record, 64 on their way on one connection",
        (_REQUESTS,),
        "broker",
        partial(_opened, partial(_pipelined)),
        (Target("rate", "broker", "Apache Kafka", 4.0),),
        _BOTH,
    ),
    _pick("100-a-second", "Produce to consume, at 100 records a second", 100),
    _pick("1000-a-second", "Produce to consume, at 1,000 records a second", 1_000),
    _pick("5000-a-second", "Produce to consume, at 5,000 records a second", 5_000),
    Case(
        "broker.connections",
        "Produce requests of one record, one on its way on each connection",
        (_REQUESTS,),
        "broker",
        partial(_opened, partial(_connections)),
        x_label="connections",
        bend="Up from one connection is the wait for the answer that others fill; flat behind that is the processor, "
        "of server and client together. Down would be work for each connection that has nothing to say.",
    ),
    Case(
        "broker.transactions.1-record",
        "Transactions of one record, one after the other",
        (Measure("rate", "transactions/s", more_is_better=True),),
        "broker",
        partial(_opened, partial(_transactions, 1)),
    ),
    Case(
        "broker.transactions.100-records",
        "Transactions of 100 records, one after the other",
        (Measure("rate", "transactions/s", more_is_better=True),),
        "broker",
        partial(_opened, partial(_transactions, 100)),
    ),
)
