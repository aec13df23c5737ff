"""The broker's streams: produce, consume, partitions; librdkafka is the client of all."""

import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from benchmarks import numbered
from benchmarks.case import Case, Contestant, Doing, Figures, Measure, Mode, Target, Unsound
from benchmarks.numbered import Options, Used
from benchmarks.room import Room, Server
from broker.cli.cluster import LATEST
from tests.interop.toolchain import kafka_jars

_RATE: Final = Measure("rate", "MB/s", more_is_better=True)
_CPU: Final = Measure("server CPU", "s/GB", more_is_better=False)
_MEMORY: Final = Measure("server memory", "MB", more_is_better=False)
_STREAM: Final = (_RATE, _CPU, _MEMORY)
_QUICK_TOO: Final = frozenset({Mode.FULL, Mode.QUICK})
_FULL: Final = frozenset({Mode.FULL})


@contextmanager
def _opened(work: "partial[Figures]", room: Room) -> Iterator[Sequence[Contestant]]:
    yield [Doing(server.name, partial(work, room, server)) for server in room.servers()]


def _produce(size: int, megabytes: int, options: Options, room: Room, server: Server) -> Figures:
    values = numbered.values_of(size, room.sized(megabytes) * 1_000_000 // size)
    with numbered.topic(server.address) as name:
        used = Used(server.pid)
        seconds = numbered.produce(numbered.producer_of(server.address, options), name, values)
        total = size * len(values)
        figures = {"rate": total / seconds / 1e6, "server CPU": used.cpu_per_gb(total)}
        figures["server memory"] = used.megabytes()
        numbered.check(server.address, name, len(values))
    time.sleep(0.2)  # its files are being removed: that is not the next one's work
    return figures


def _produce_case(
    name: str, title: str, size: int, options: Options, *, megabytes: int = 60, target: float | None = None
) -> Case:
    targets: tuple[Target, ...] = () if target is None else (Target("rate", "broker", "Apache Kafka", target),)
    if name == "1kb-acks1":
        targets += (
            Target("server CPU", "broker", "Apache Kafka", 0.25, at_least=False),
            Target("server memory", "broker", None, 80, at_least=False),
        )
    return Case(
        f"broker.produce.{name}",
        title,
        _STREAM,
        "broker",
        partial(_opened, partial(_produce, size, megabytes, options)),
        targets,
        _QUICK_TOO if name in {"1kb-acks1", "100b-acks1"} else _FULL,
        warm_up=2 if name == "1kb-acks1" else 1,
    )


@contextmanager
def _consuming(size: int, megabytes: int, room: Room) -> Iterator[Sequence[Contestant]]:
    count = room.sized(megabytes) * 1_000_000 // size
    values = numbered.values_of(size, count)
    servers = room.servers()
    with _topics(servers) as names:
        for server in servers:
            numbered.produce(numbered.producer_of(server.address), names[server.name], values)
        yield [Doing(each.name, partial(_consume, each, names[each.name], count, size)) for each in servers]


@contextmanager
def _topics(servers: Sequence[Server], partitions: int = 1) -> Iterator[Mapping[str, str]]:
    if not servers:
        yield {}
        return
    with numbered.topic(servers[0].address, partitions) as name, _topics(servers[1:], partitions) as others:
        yield {servers[0].name: name, **others}


def _consume(server: Server, name: str, count: int, size: int) -> Figures:
    used = Used(server.pid)
    consumer = numbered.consumer_of(server.address)
    try:
        seconds = numbered.consume(consumer, name, count)
    finally:
        consumer.close()
    numbered.check(server.address, name, count)
    return {"rate": count * size / seconds / 1e6, "server CPU": used.cpu_per_gb(2 * count * size)}


def _at_the_tail(size: int, megabytes: int, room: Room, server: Server) -> Figures:
    """A consumer that waits at the end while a producer writes as fast as it can."""
    values = numbered.values_of(size, room.sized(megabytes) * 1_000_000 // size)
    with numbered.topic(server.address) as name:
        consumer = numbered.consumer_of(server.address)
        took: list[float] = []
        failed: list[BaseException] = []

        def read() -> None:
            try:
                took.append(numbered.consume(consumer, name, len(values)))
            except BaseException as error:
                failed.append(error)

        reader = threading.Thread(target=read)
        used = Used(server.pid)
        reader.start()
        try:
            numbered.produce(numbered.producer_of(server.address), name, values)
        finally:
            reader.join()
            consumer.close()
        if failed:
            raise failed[0]
        figures = {
            "rate": len(values) * size / took[0] / 1e6,
            "server CPU": used.cpu_per_gb(2 * len(values) * size),
        }
        numbered.check(server.address, name, len(values))
    return figures


_PARTITIONS: Final = (1, 10, 100, 1_000)


@contextmanager
def _partitioned(room: Room) -> Iterator[Sequence[Contestant]]:
    counts = _PARTITIONS if not room.is_quick else _PARTITIONS[:3]
    with _many_topics(room.servers(), counts) as names:
        yield [
            Doing(server.name, partial(_over_partitions, room, server, names[server.name])) for server in room.servers()
        ]


@contextmanager
def _many_topics(servers: Sequence[Server], counts: Sequence[int]) -> Iterator[Mapping[str, Mapping[int, str]]]:
    if not counts:
        yield {server.name: {} for server in servers}
        return
    with _topics(servers, counts[0]) as names, _many_topics(servers, counts[1:]) as others:
        yield {server.name: {counts[0]: names[server.name], **others[server.name]} for server in servers}


def _over_partitions(room: Room, server: Server, names: Mapping[int, str]) -> Figures:
    figures: dict[str, float] = {}
    values = numbered.values_of(1024, room.sized(16) * 1_000)
    for partitions, name in names.items():
        before = _ends(server, name, partitions)
        seconds = numbered.produce(numbered.producer_of(server.address), name, values, partitions)
        added = _ends(server, name, partitions) - before
        if added != len(values):
            raise Unsound(f"{len(values)} records over {partitions} partitions, {added} are there")
        figures[f"rate@{partitions}"] = len(values) * 1024 / seconds / 1e6
    return figures


def _ends(server: Server, name: str, partitions: int) -> int:
    """The sum of the ends. A broker that has just been told of a topic may not lead it yet: it is asked again."""
    admin = AdminClient({"bootstrap.servers": server.address, "log_level": 0})
    asked = {TopicPartition(name, number): LATEST for number in range(partitions)}
    end = time.monotonic() + 20
    while True:
        try:
            return sum(future.result().offset for future in admin.list_offsets(asked, request_timeout=30).values())
        except KafkaException:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def _tool(size: int, megabytes: int, room: Room, server: Server) -> Figures:
    """Kafka's own ProducerPerformance: a JVM that starts for the turn, and leaves its first fifth out."""
    count = room.sized(megabytes) * 1_000_000 // size
    with numbered.topic(server.address) as name:
        command = ["java", "-Xmx512m", "-cp", f"{kafka_jars()}/*", "org.apache.kafka.tools.ProducerPerformance"]
        command += ["--topic", name, "--num-records", str(count), "--record-size", str(size), "--throughput", "-1"]
        command += ["--warmup-records", str(count // 5), "--bootstrap-server", server.address]
        command += ["--command-property", "acks=1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        if done.returncode:
            raise RuntimeError(
                f"ProducerPerformance ended with {done.returncode}: {(done.stdout + done.stderr)[-400:]}"
            )
        written = _ends(server, name, 1)
        if written != count:
            raise Unsound(f"{count} records were written, {written} are there")
    # The last line is that of the steady state: "… records sent, 53191.5 records/sec (51.94 MB/sec), …"
    rates = re.findall(r"([\d.]+) records/sec", done.stdout)
    if not rates:
        raise RuntimeError(f"ProducerPerformance told no rate: {done.stdout[-400:]}")
    return {"rate": float(rates[-1]) * size / 1e6}


CASES: Final = (
    _produce_case("1kb-acks1", "Produce, 1 KB records, acks=1", 1024, {"acks": "1"}, target=1.7),
    _produce_case("1kb-acksall", "Produce, 1 KB records, acks=all", 1024, {"acks": "all"}),
    _produce_case("100b-acks1", "Produce, 100 B records, acks=1", 100, {"acks": "1"}, megabytes=25, target=1.0),
    _produce_case("100b-acksall", "Produce, 100 B records, acks=all", 100, {"acks": "all"}, megabytes=25),
    _produce_case(
        "1kb-lz4", "Produce, 1 KB records, lz4", 1024, {"acks": "1", "compression.type": "lz4"}, megabytes=60
    ),
    _produce_case(
        "1kb-zstd", "Produce, 1 KB records, zstd", 1024, {"acks": "1", "compression.type": "zstd"}, megabytes=40
    ),
    Case(
        "broker.consume.start-1kb",
        "Consume from the start, 1 KB records",
        (_RATE, _CPU),
        "broker",
        partial(_consuming, 1024, 100),
        (Target("rate", "broker", "Apache Kafka", 1.2),),
        _QUICK_TOO,
    ),
    Case(
        "broker.consume.start-100b",
        "Consume from the start, 100 B records",
        (_RATE, _CPU),
        "broker",
        partial(_consuming, 100, 25),
    ),
    Case(
        "broker.consume.tail-1kb",
        "Consume at the tail while it is written, 1 KB records",
        (_RATE, _CPU),
        "broker",
        partial(_opened, partial(_at_the_tail, 1024, 60)),
    ),
    Case(
        "broker.partitions",
        "Produce, 1 KB records, spread over many partitions",
        (_RATE,),
        "broker",
        _partitioned,
        x_label="partitions of the topic",
        bend="A batch of librdkafka's holds records of one partition: with a thousand of them there are a thousand "
        "small batches where there were a few large ones. Down is that; a bend that one server has and another has not "
        "is its work per partition of a request.",
    ),
    Case(
        "broker.tool.1kb",
        "Kafka's own ProducerPerformance, 1 KB records, acks=1",
        (_RATE,),
        "broker",
        partial(_opened, partial(_tool, 1024, 48)),
        warm_up=1,
    ),
)
