"""
Several instances of one service on the same machine: events that all of them handle together, for a second of CPU.

On two cores wall time says nothing of eight instances; what an event costs all of them, the broker included, does. As
long as it stays flat, twice the machines handle twice the events. What a process does once is not counted: before the
meters are read, each instance has its partitions and has handled some events.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import uuid4

from benchmarks import delivery, numbered
from benchmarks.case import Case, Contestant, Doing, Figures, Measure, Mode, Unsound
from benchmarks.cases.framework import own, programs
from benchmarks.room import Room
from broker.cli.bench_process import ServerProcess

_INSTANCES: Final = (1, 2, 4, 8)
_EVENTS: Final = 40_000
_WARM_UP: Final = 6_000


@dataclass(frozen=True, slots=True)
class _Work:
    """One repetition over all numbers of instances."""

    room: Room
    kind: str

    def run(self) -> Figures:
        figures: dict[str, float] = {}
        for instances in _INSTANCES:
            found = self._together(instances)
            figures[f"rate@{instances}"] = found["rate"]
        return figures

    def _together(self, instances: int) -> Mapping[str, float]:
        address, events = self.room.broker.address, self.room.sized(_EVENTS)
        service = f"many-{uuid4().hex[:6]}"
        with numbered.topic(address, delivery.PARTITIONS, name=delivery.TOPIC), programs() as found:
            url = self.room.database(self.kind)
            settings = {
                "address": address,
                "url": url,
                "service": service,
                "events": events,
                "warm_up": _WARM_UP,
                "instances": instances,
            }
            for number in range(instances):
                found.append(own(f"instance {number + 1}", "eventbus_instance", settings))
                # The first makes the tables; the others find them.
                found[-1].ready()
            for each in found:
                each.run()  # it has its share
            delivery.fill(address, _WARM_UP)
            found[0].run()
            processes = [ServerProcess(each.pid) for each in found] + [ServerProcess(self.room.broker.pid)]
            used = [each.cpu_seconds() for each in processes]
            begun = time.perf_counter()
            delivery.fill(address, events)
            filled = time.perf_counter() - begun
            handled = found[0].run()["handled"]
            seconds = time.perf_counter() - begun
            cpu = sum(each.cpu_seconds() - before for each, before in zip(processes, used, strict=True))
        if handled != _WARM_UP + events:
            raise Unsound(f"{_WARM_UP + events} events, {handled:.0f} handled by {instances} instances")
        return {"rate": events / cpu, "seconds": seconds, "filled": filled}


@contextmanager
def _opened(room: Room) -> Iterator[Sequence[Contestant]]:
    yield [Doing("eventbus, PostgreSQL", _Work(room, "postgresql").run)]


CASES: Final = (
    Case(
        "scale.instances",
        "Events handled for a second of CPU, by so many instances together",
        (Measure("rate", "events per CPU second", more_is_better=True),),
        "eventbus, PostgreSQL",
        partial(_opened),
        modes=frozenset({Mode.SCALE}),
        warm_up=0,
        x_label="instances",
        bend="Every instance has a poll loop and heartbeats of its own, and batches that are smaller by as much as "
        "there are more of them: slightly down. A fall in proportion would be instances that do each other's work.",
        seconds_max=600,
    ),
)
