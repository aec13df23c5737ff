"""
How cost grows with size: every case is a curve with both axes logarithmic and a fitted slope, of `make bench-scale`.
"""

import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from confluent_kafka import TopicPartition

from benchmarks import delivery, numbered
from benchmarks.broker_cold_reads import READER, tail
from benchmarks.case import Case, Contestant, Doing, Figures, Measure, Mode
from benchmarks.cases.framework import own, programs
from benchmarks.figures import percentile
from benchmarks.room import Room, Server

_SCALE: Final = frozenset({Mode.SCALE})
_PIECE: Final = 900_000
_LOG_MEGABYTES: Final = (1, 10, 100, 1_000, 10_000)
_TRIPS: Final = 400


def _round_trips(server: Server, name: str) -> float:
    producer = numbered.producer_of(server.address, {"linger.ms": 0, "acks": "1"})
    micros: list[float] = []
    for _ in range(_TRIPS):
        begun = time.perf_counter()
        producer.produce(name, bytes(100))
        producer.flush(20)
        micros.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(micros[_TRIPS // 10 :])


def _produce_over_log(room: Room, server: Server) -> Figures:
    """One topic grows; at every size some records of 100 B, one after the other."""
    figures: dict[str, float] = {}
    with numbered.topic(server.address) as name:
        producer = numbered.producer_of(server.address, {"message.max.bytes": 1_000_000})
        written = 0
        for megabytes in _LOG_MEGABYTES:
            size = room.sized(megabytes * 1000) * 1000
            while written < size:
                pieces = max(1, min(200, (size - written) // _PIECE))
                numbered.produce(producer, name, [bytes(_PIECE)] * pieces)
                written += pieces * _PIECE
            figures[f"p50@{megabytes}"] = _round_trips(server, name)
    return figures


def _tail_over_log(room: Room, server: Server) -> Figures:
    """Records every 5 ms and a consumer that waits for them, while another process reads a log from its start."""
    figures: dict[str, float] = {}
    with numbered.topic(server.address, name="tail"), numbered.topic(server.address, name="large"):
        producer = numbered.producer_of(server.address, {"message.max.bytes": 1_000_000})
        written = 0
        for megabytes in _LOG_MEGABYTES[2:]:
            size = room.sized(megabytes * 1000) * 1000
            while written < size:
                pieces = max(1, min(200, (size - written) // _PIECE))
                numbered.produce(producer, "large", [bytes(_PIECE)] * pieces)
                written += pieces * _PIECE
            asking = numbered.consumer_of(server.address)
            end = asking.get_watermark_offsets(TopicPartition("large", 0))[1]
            asking.close()
            stop = threading.Event()
            found: list[list[float]] = []

            def read(stop: threading.Event = stop, found: list[list[float]] = found) -> None:
                found.append(tail(server.address, stop))

            waiting = threading.Thread(target=read)
            waiting.start()
            time.sleep(0.5)
            # At low priority, or it is the processor that is measured.
            command = ["nice", "-n", "19", sys.executable, "-c", READER, server.address, str(end), "600"]
            for _ in range(max(1, 1_000 // megabytes)):
                subprocess.run(command, capture_output=True, check=True, timeout=120)
            stop.set()
            waiting.join()
            figures[f"p99@{megabytes}"] = percentile(found[0], 0.99) * 1000
    return figures


@contextmanager
def _both(work: "partial[Figures]", room: Room) -> Iterator[Sequence[Contestant]]:
    servers = room.servers(with_kfake=False)
    yield [Doing(server.name, partial(work, room, server)) for server in servers]


@contextmanager
def _own(
    module: str, variants: Sequence[tuple[str, Mapping[str, object]]], room: Room
) -> Iterator[Sequence[Contestant]]:
    with programs() as found:
        for label, settings in variants:
            kind = str(settings.get("kind", "sqlite"))
            given = {"url": room.database(kind), "address": room.broker.address, "size": room.sized(1000) / 1000}
            found.append(own(label, module, {**settings, **given}, seconds_max=900))
            # One after the other: what they prepare is large.
            found[-1].ready()
        yield found


@contextmanager
def _parked(room: Room) -> Iterator[Sequence[Contestant]]:
    """The topic of payments is the first program's to fill, and deleted with the case."""
    variants = [(label, {**more, "what": "parked"}) for label, more in _BOTH_KINDS]
    with (
        numbered.topic(room.broker.address, delivery.PARTITIONS, name=delivery.TOPIC),
        _own("eventbus_growth", variants, room) as found,
    ):
        yield found


_BOTH_KINDS: Final = (("eventbus, SQLite", {"kind": "sqlite"}), ("eventbus, PostgreSQL", {"kind": "postgresql"}))


def _curve(name: str, title: str, measure: Measure, opened: object, x_label: str, bend: str, ours: str) -> Case:
    return Case(
        f"scale.{name}",
        title,
        (measure,),
        ours,
        opened,  # type: ignore[arg-type]
        modes=_SCALE,
        warm_up=0,
        x_label=x_label,
        bend=bend,
        seconds_max=900,
    )


CASES: Final = (
    _curve(
        "produce-over-log",
        "Round trip of one record over the size of the log",
        Measure("p50", "µs", more_is_better=False),
        partial(_both, partial(_produce_over_log)),
        "MB in the log",
        "An append goes to the end of one file: flat. Up with the size would be work for each segment or index entry; "
        "a step at the size of the memory, the page cache giving pages up.",
        "broker",
    ),
    _curve(
        "tail-over-log",
        "Produce to consume at the tail while another reads the log from its start",
        Measure("p99", "µs", more_is_better=False),
        partial(_both, partial(_tail_over_log)),
        "MB that are read from the start",
        "The reader takes processor and disk, however long its log is: flat. Up would be reads before the tail's.",
        "broker",
    ),
    _curve(
        "append-over-streams",
        "Append to a new stream over the streams that are there",
        Measure("time", "µs", more_is_better=False),
        partial(_own, "eventbus_growth", [(label, {**more, "what": "streams"}) for label, more in _BOTH_KINDS]),
        "streams",
        "The unique index of streams and versions gets deeper: flat, or nearly so. Proportional would be a scan.",
        "eventbus, SQLite",
    ),
    _curve(
        "load-over-events",
        "Load an aggregate over the length of its stream",
        Measure("time", "µs", more_is_better=False),
        partial(
            _own,
            "eventbus_growth",
            [
                ("eventbus, every event", {"what": "load"}),
                ("eventbus, a snapshot every 100 events", {"what": "load_snapshots"}),
            ],
        ),
        "events of the stream",
        "Without snapshots every event is read: x^1 from where the fixed cost ends. With them the state and the events "
        "behind it are: flat. Where the two cross is where a snapshot begins to pay.",
        "eventbus, a snapshot every 100 events",
    ),
    _curve(
        "replay-over-events",
        "Catch up with a topic over its events",
        Measure("time", "s", more_is_better=False),
        partial(_own, "eventbus_growth", [(label, {**more, "what": "replay"}) for label, more in _BOTH_KINDS]),
        "events of the topic",
        "Every event is read once: x^1. Steeper would be a view whose rows or checkpoints cost more as they grow.",
        "eventbus, SQLite",
    ),
    _curve(
        "handling-over-parked",
        "Events handled while so many are parked",
        Measure("rate", "events/s", more_is_better=True),
        _parked,
        "parked events",
        "A batch asks once which of its keys are parked, by the keys: flat. Down would be a look at what is parked.",
        "eventbus, SQLite",
    ),
)
