"""The broker's life: starting, starting with a large log, coming back after SIGKILL, and a group's rebalance."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

from confluent_kafka import Consumer, TopicPartition

from benchmarks import numbered
from benchmarks.broker_cold_reads import fill
from benchmarks.case import Case, Contestant, Doing, Figures, Measure, Mode, Target, Unsound
from benchmarks.numbered import Options
from benchmarks.room import HEAP, KAFKA_PROPERTIES, Room, Server, start_kfake
from tests.interop.toolchain import kafka_jars
from tests.servers.broker_process import BrokerProcess, running_broker
from tests.servers.kafka_server import KafkaCluster, running_kafka

_SECONDS: Final = Measure("time", "s", more_is_better=False)
_GIGABYTES: Final = 10.0
_PARTITIONS: Final = 12


def _start_broker(room: Room) -> Figures:
    with running_broker(room.folder / f"start-{uuid4().hex[:8]}") as broker:
        return {"time": broker.ready_seconds}


def _start_kafka(room: Room) -> Figures:
    cluster = KafkaCluster(
        kafka_jars(), room.folder / f"start-{uuid4().hex[:8]}", properties=KAFKA_PROPERTIES, java_options=HEAP
    )
    try:
        node = cluster.nodes[0]
        node.format()
        begun = time.perf_counter()
        cluster.resume()
        return {"time": time.perf_counter() - begun}
    finally:
        cluster.close()


def _start_kfake() -> Figures:
    begun = time.perf_counter()
    process, _ = start_kfake()
    seconds = time.perf_counter() - begun
    process.kill()
    process.wait(10)
    return {"time": seconds}


@contextmanager
def _starting(room: Room) -> Iterator[Sequence[Contestant]]:
    found: list[Contestant] = [Doing("broker", partial(_start_broker, room))]
    found.append(Doing("Apache Kafka", partial(_start_kafka, room)))
    if "kfake" not in room.absent:
        found.append(Doing("kfake (built)", _start_kfake))
    yield found


class _Filled:
    """A server with a large log, which can be stopped, killed and started."""

    def __init__(
        self, address: str, end: Callable[[], None], kill: Callable[[], None], start: Callable[[], float], count: int
    ) -> None:
        self.address = address
        self.end = end
        self.kill = kill
        self.start = start
        self._count = count

    def restart(self) -> Figures:
        """Once after a clean end, once after a kill."""
        self.end()
        closed = self._started()
        # Something has been written since the last sync: what recovery has to look at.
        producer = numbered.producer_of(self.address, {"message.max.bytes": 1_000_000})
        numbered.produce(producer, "large", [bytes(900_000)] * 50)
        self._count += 50
        self.kill()
        return {"closed": closed, "killed": self._started()}

    def _started(self) -> float:
        seconds = self.start()
        consumer = numbered.consumer_of(self.address)
        try:
            there = consumer.get_watermark_offsets(TopicPartition("large", 0), timeout=20)[1]
        finally:
            consumer.close()
        if there != self._count:
            raise Unsound(f"{self._count} records were acknowledged before the end, {there} are there after it")
        return seconds


@contextmanager
def _restarting(room: Room) -> Iterator[Sequence[Contestant]]:
    size = int(_GIGABYTES * 1e9 * room.sized(1000, 100) / 1000)
    with ExitStack() as ending:
        broker = ending.enter_context(_large_broker(room, size))
        kafka = ending.enter_context(_large_kafka(room, size))
        yield [Doing("broker", broker.restart), Doing("Apache Kafka", kafka.restart)]


def _make_topic(address: str) -> None:
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    admin = AdminClient({"bootstrap.servers": address})
    for future in admin.create_topics([NewTopic("large", 1, 1)]).values():
        future.result()


@contextmanager
def _large_broker(room: Room, size: int) -> Iterator[_Filled]:
    folder = room.folder / f"large-{uuid4().hex[:8]}"
    with running_broker(folder) as broker:
        _make_topic(broker.bootstrap)
        broker.stop()
        count = fill(folder / "large-0", size)

        def start() -> float:
            broker.start()
            return broker.ready_seconds

        start()
        try:
            yield _Filled(broker.bootstrap, lambda: _stopped(broker), broker.kill, start, count)
        finally:
            broker.close()
            _remove(folder)


def _stopped(broker: BrokerProcess) -> None:
    broker.stop()


@contextmanager
def _large_kafka(room: Room, size: int) -> Iterator[_Filled]:
    folder = room.folder / f"large-{uuid4().hex[:8]}"
    with running_kafka(kafka_jars(), folder, properties=KAFKA_PROPERTIES, java_options=HEAP) as cluster:
        _make_topic(cluster.bootstrap)
        producer = numbered.producer_of(cluster.bootstrap, {"message.max.bytes": 1_000_000})
        value, count = bytes(900_000), size // 900_000
        for done in range(0, count, 500):
            numbered.produce(producer, "large", [value] * min(500, count - done))
        node = cluster.nodes[0]

        def start() -> float:
            begun = time.perf_counter()
            cluster.resume()
            return time.perf_counter() - begun

        try:
            yield _Filled(cluster.bootstrap, node.stop, node.kill, start, count)
        finally:
            cluster.close()
            _remove(folder)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _rebalance(room: Room, server: Server) -> Figures:
    """A second member joins: from its subscription to the moment when each of the two has half of the partitions."""
    with numbered.topic(server.address, _PARTITIONS) as name:
        group = f"bench-{uuid4().hex[:8]}"
        options: Options = {"group.id": group, "heartbeat.interval.ms": 200, "session.timeout.ms": 6_000}
        members = [numbered.consumer_of(server.address, options) for _ in range(2)]
        stop = threading.Event()
        held = [0, 0]
        threads: list[threading.Thread] = []

        def poll(number: int) -> None:
            consumer: Consumer = members[number]
            consumer.subscribe([name])
            while not stop.is_set():
                consumer.poll(0.01)
                held[number] = len(consumer.assignment())
            consumer.close()

        def begin(number: int) -> None:
            thread = threading.Thread(target=poll, args=(number,))
            thread.start()
            threads.append(thread)

        def wait(wanted: Sequence[int]) -> None:
            end = time.monotonic() + 30
            while list(held) != list(wanted):
                if time.monotonic() > end:
                    raise Unsound(f"the members hold {held} of {_PARTITIONS} partitions after 30 s")
                time.sleep(0.002)

        try:
            begin(0)
            wait((_PARTITIONS, 0))
            begun = time.perf_counter()
            begin(1)
            wait((_PARTITIONS // 2, _PARTITIONS // 2))
            return {"time": time.perf_counter() - begun}
        finally:
            stop.set()
            for thread in threads:
                thread.join(20)


@contextmanager
def _rebalancing(room: Room) -> Iterator[Sequence[Contestant]]:
    yield [Doing(server.name, partial(_rebalance, room, server)) for server in room.servers()]


CASES: Final = (
    Case(
        "broker.start.empty",
        "From the start of the process to the first answer, empty",
        (_SECONDS,),
        "broker",
        _starting,
        (Target("time", "broker", None, 0.25, at_least=False),),
        frozenset({Mode.FULL, Mode.QUICK}),
        warm_up=1,
    ),
    Case(
        "broker.rebalance.second-member",
        "A second member joins a group of 12 partitions (heartbeats every 200 ms)",
        (_SECONDS,),
        "broker",
        _rebalancing,
    ),
)

LARGE_CASES: Final = (
    Case(
        "broker.start.10gb",
        "Start with 10 GB of log, closed cleanly, and after SIGKILL with 45 MB of it just written",
        (Measure("closed", "s", more_is_better=False), Measure("killed", "s", more_is_better=False)),
        "broker",
        _restarting,
        (Target("closed", "broker", None, 1.0, at_least=False),),
        # Every start is a process of its own, and what was just written is in the page cache already.
        warm_up=0,
    ),
)
