"""
How many events a second a layout holds, what ends first there, and the layout that goes on.

Holds       in the seconds behind the warm-up as many events are seen in the view as came, and what waits does not grow
The most    of the loads of a grid in steps of 15 % (sixteen a decade): the greatest that holds
Ends first  at a third more than that: the busiest of what does the work; where none is busy all the time,
            the slots or the partitions, which let one batch pass at a time: whatever more and more waits for
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.scale.costs import Costs
from benchmarks.scale.engine import Servers
from benchmarks.scale.layout import Layout
from benchmarks.scale.service import AT_ONCE, Service

WARM_SECONDS: Final = 0.5
SECONDS: Final = 1.0
# So many that what happens to be under way is a hundredth of them.
_EVENTS_MIN: Final = 2000
_UNDER_WAY: Final = 20
_STEPS_A_DECADE: Final = 16
_BUSY: Final = 0.95
_MAY_WAIT: Final = 0.03
_BEYOND: Final = 4 / 3

INSTANCES: Final = "the busiest instance's processor"
DATABASE: Final = "the service's database"
VIEW_PROCESSES: Final = "the view's busiest process"
VIEW_DATABASE: Final = "the view's database"
LOG: Final = "the log's processors"
DISK: Final = "the database's syncs"
SLOTS: Final = "relay slots"
PARTITIONS: Final = "partitions"
AT_ONCE_AN_INSTANCE: Final = f"handlers that wait ({AT_ONCE} partitions at a time an instance)"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    One run. `busy` is the share of its time that each part works, 1 is all of it; latencies in milliseconds, from the
    command to the view; `connections` the transactions that were open at once in the service's database; `grows` where
    the number of those that wait has grown most.
    """

    load: float
    holds: bool
    busy: dict[str, float]
    p50: float
    p99: float
    connections: int
    grows: str

    @property
    def ends(self) -> str:
        """What is busiest, or lets too little pass."""
        # The more wait for a sync, the more share it: that it is busy is no limit.
        passing = (SLOTS, PARTITIONS, AT_ONCE_AN_INSTANCE, DISK)
        worker = max((part for part in self.busy if part not in passing), key=lambda part: self.busy[part])
        if self.busy[worker] >= _BUSY:
            return worker
        if self.grows == "outbox":
            return SLOTS
        return max(PARTITIONS, AT_ONCE_AN_INSTANCE, key=lambda part: self.busy[part])


@dataclass(frozen=True, slots=True)
class Limit:
    """What a layout holds: the greatest load, how it is at three quarters of it, and what ends first beyond it."""

    layout: Layout
    load: float
    usual: Outcome
    ends: str
    busy: dict[str, float]


def loads() -> Iterator[float]:
    """The grid, from 100 events a second on, each with two digits."""
    step = 0
    while True:
        load = 100 * 10 ** (step / _STEPS_A_DECADE)
        digits = 10 ** (len(str(int(load))) - 2)
        yield round(load / digits) * digits
        step += 1


def outcome(layout: Layout, costs: Costs, load: float) -> Outcome:
    """Runs the model."""
    service = Service(layout, costs, load)
    service.run(WARM_SECONDS)
    parts = _parts(service)
    before = {name: used for name, (used, _) in parts.items()}
    came, shown, waited = service.came, service.shown, service.waiting()
    service.seen.clear()
    seconds = max(SECONDS, _EVENTS_MIN * layout.services / load)
    service.run(WARM_SECONDS + seconds)
    shares = {name: (used - before[name]) / seconds / many for name, (used, many) in _parts(service).items()}
    busy: dict[str, float] = {}
    for (name, _), share in shares.items():
        busy[name] = max(busy.get(name, 0.0), share)
    arrived = service.came - came
    may_wait = _MAY_WAIT * arrived + _UNDER_WAY
    grown = {stage: count - waited[stage] for stage, count in service.waiting().items()}
    holds = service.shown - shown >= arrived - may_wait and sum(grown.values()) <= may_wait
    p50, p99 = (1000 * _percentile(service.seen, share) for share in (0.5, 0.99))
    grows = max(grown, key=lambda stage: grown[stage])
    return Outcome(load, holds, busy, p50, p99, service.database.open_max, grows)


def limit(layout: Layout, costs: Costs, above: float = 0.0) -> Limit:
    """The greatest load that holds, looked for from *above* on, and below it where that does not hold."""
    grid: list[float] = []
    for load in loads():
        if load >= above:
            grid.append(load)
        if len(grid) > 3 * _STEPS_A_DECADE:
            break
    low, high = 0, 1

    def holds(at: int) -> bool:
        return outcome(layout, costs, grid[at]).holds

    if not holds(0):
        if above <= grid[0] / 2:
            raise ValueError(f"{layout} does not hold even {grid[0]:.0f} events a second")
        return limit(layout, costs, above / 2)
    while holds(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    usual, beyond = (outcome(layout, costs, share * grid[low]) for share in (0.75, _BEYOND))
    return Limit(layout, grid[low], usual, beyond.ends, beyond.busy)


def wider(layout: Layout, ends: str) -> tuple[Layout, str]:
    """What to do where that ends first: the layout that goes on, and the words."""
    if ends in (INSTANCES, AT_ONCE_AN_INSTANCE) and 2 * layout.instances <= layout.partitions:
        return replace(layout, instances=2 * layout.instances), "twice the instances"
    if ends in (INSTANCES, AT_ONCE_AN_INSTANCE, PARTITIONS):
        more = 4 * layout.partitions
        return replace(layout, partitions=more), f"a new topic with {more} partitions"
    if ends in (VIEW_PROCESSES, VIEW_DATABASE):
        return replace(layout, view_databases=2 * layout.view_databases), "twice the view's shards"
    if ends == DATABASE and layout.view_databases == 0:
        return replace(layout, view_databases=4), "four processes and databases for the view"
    if ends == LOG and layout.replicas == 1:
        return replace(layout, log_cores=12, replicas=3), "Apache Kafka: three nodes of four cores"
    if ends == LOG:
        return replace(layout, log_cores=2 * layout.log_cores), "twice the nodes of Apache Kafka"
    return replace(layout, services=2 * layout.services), "the service in two, by aggregate"


def ladder(costs: Costs, until: float, layout: Layout | None = None) -> Iterator[tuple[Limit, str]]:
    """From one instance on one machine to *until* events a second: each limit, and what was done then."""
    layout, above = layout or Layout(), 100.0
    while True:
        found = limit(layout, costs, above)
        layout, words = wider(layout, found.ends)
        yield found, words
        if found.load >= until:
            return
        above = max(above, 0.7 * found.load)


Part = tuple[str, int]
"""What is told of it, and its number among those of which the busiest is told."""


def _each(name: str, servers: Sequence[Servers]) -> dict[Part, tuple[float, int]]:
    return {(name, number): (each.busy.seconds, each.count) for number, each in enumerate(servers)}


def _parts(service: Service) -> dict[Part, tuple[float, int]]:
    """The seconds that each part has worked, and how many of it work at once."""
    many: dict[str, tuple[float, int]] = {
        DISK: (service.database.disk.busy.seconds, 1),
        SLOTS: (service.outbox.busy.seconds, len(service.outbox.queues)),
        PARTITIONS: (service.handling.busy.seconds, len(service.handling.queues)),
        AT_ONCE_AN_INSTANCE: (service.handling.busy.seconds, AT_ONCE * service.handling.workers),
    }
    return {
        **_each(INSTANCES, service.instances),
        **_each(DATABASE, [service.database.cores]),
        **_each(LOG, [service.log]),
        **{(name, 0): found for name, found in many.items()},
        **_each(VIEW_PROCESSES, service.view_instances),
        **_each(VIEW_DATABASE, [place.cores for place in service.views]),
    }


def _percentile(seen: list[tuple[float, int]], share: float) -> float:
    """Of events that come many at a time; 0 of none."""
    left = share * sum(count for _, count in seen)
    for value, count in sorted(seen):
        left -= count
        if left <= 0:
            return value
    return 0.0
