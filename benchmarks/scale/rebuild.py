"""
How long a view of 10^9 events takes to be built anew, in shards, beside a live load.

Each shard is a process that reads the partitions of its share: while a batch of BATCH events is written, the next one
is read and decoded. What is simulated is some millions of them; the rest goes on at the same rate.
"""

from dataclasses import dataclass
from typing import Final

from benchmarks.scale.costs import Costs
from benchmarks.scale.engine import Servers
from benchmarks.scale.layout import Layout
from benchmarks.scale.service import Place, Service

BATCH: Final = 4000
WARM_SECONDS: Final = 1.0
SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`rate` in events a second, of all shards."""

    rate: float

    def hours(self, events: float) -> float:
        """How long so many take."""
        return events / self.rate / 3600


class _Shard:
    """One process of it."""

    def __init__(self, service: Service, place: Place, costs: Costs) -> None:
        self._service, self._place, self._costs = service, place, costs
        self._core = Servers(service.simulation, 1)
        self._is_read = self._is_writing = False
        self.done = 0
        self._read()

    def _read(self) -> None:
        """The next batch, while one is written."""
        seconds = self._costs.read_log_us * BATCH / 1e6
        self._service.log.use(
            seconds, lambda: self._core.use(self._costs.decoding.service_us * BATCH / 1e6, self._decoded)
        )

    def _decoded(self) -> None:
        self._is_read = True
        self._write()

    def _write(self) -> None:
        if not self._is_read or self._is_writing:
            return
        self._is_read, self._is_writing = False, True
        own = max(0.0, self._costs.rebuild.service_us - self._costs.decoding.service_us) * BATCH / 1e6
        database = self._costs.rebuild.database_us * BATCH / 1e6
        self._core.use(own, lambda: self._place.commit(database, self._written))
        self._read()

    def _written(self) -> None:
        self.done += BATCH
        self._is_writing = False
        self._write()


def rebuild(costs: Costs, shards: int, load: float, layout: Layout) -> Rebuilt:
    """The rate at which *shards* of a view are rebuilt, each in a database of its own, beside *load*."""
    service = Service(layout, costs, load)
    places = service.views if layout.view_databases else [service.database]
    workers = [_Shard(service, places[number % len(places)], costs) for number in range(shards)]
    service.run(WARM_SECONDS)
    before = sum(worker.done for worker in workers)
    service.run(WARM_SECONDS + SECONDS)
    return Rebuilt((sum(worker.done for worker in workers) - before) / SECONDS)
