"""
The model of one service under a load of commands, in batches as the framework works.

Commands   come at random times (Poisson) to the instances in turn, each records one event under one of many keys. An
           instance commits those that wait as one group, GROUP_MAX at most: its processor, the database's, the sync
Relay      a slot is held by one instance and has one round under way: BATCH_MAX rows at most. The instance's processor,
           the log's, the log's transaction, then the rows are deleted: the database's processor and a sync
Handling   a partition is read by one instance and has one batch under way, HANDLED_MAX events at most and no more than
           its handlers do in HANDLED_SECONDS, and an instance has AT_ONCE of them: the instance's processor, what the
           handler waits for, the database's, a sync
View       the same once more, by the same instances into the same database, or by processes and databases of its own
Left out   what commands load (snapshots keep it small), hot keys, the network's time, failures
"""

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from benchmarks.scale.costs import Costs
from benchmarks.scale.engine import Busy, Disk, Servers, Simulation, Work
from benchmarks.scale.layout import Layout

GROUP_MAX = 500
BATCH_MAX = 1000
HANDLED_MAX = 500
HANDLED_SECONDS = 0.1
AT_ONCE = 4
TICK_SECONDS = 0.002

Batches = Callable[[int, list[tuple[float, int]], Work], None]
"""Works on a queue's batch, and calls what it is given when that is done."""


@dataclass(slots=True)
class Waiting:
    """Events that wait, as (when their command came, how many of them)."""

    cohorts: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])
    count: int = 0

    def add(self, cohorts: Sequence[tuple[float, int]]) -> None:
        """Behind the others."""
        self.cohorts.extend(cohorts)
        self.count += sum(count for _, count in cohorts)

    def take(self, most: int) -> list[tuple[float, int]]:
        """The first ones, *most* of them at most."""
        taken: list[tuple[float, int]] = []
        while most and self.cohorts:
            came, count = self.cohorts.popleft()
            if count > most:
                self.cohorts.appendleft((came, count - most))
                count = most
            taken.append((came, count))
            most -= count
            self.count -= count
        return taken


class Place:
    """A database: its processors, its disk, and how many transactions are open."""

    __slots__ = ("cores", "disk", "open", "open_max")

    def __init__(self, simulation: Simulation, cores: int, costs: Costs) -> None:
        self.cores = Servers(simulation, cores)
        self.disk = Disk(simulation, costs.sync_us / 1e6)
        self.open = self.open_max = 0

    def commit(self, seconds: float, then: Work) -> None:
        """A transaction that takes so much of a processor."""
        self.open += 1
        self.open_max = max(self.open_max, self.open)

        def done() -> None:
            self.open -= 1
            then()

        self.cores.use(seconds, partial(self.disk.sync, done))


class Lines:
    """Queues that have one batch under way each; *at_once* of them in all that share a worker."""

    def __init__(
        self,
        simulation: Simulation,
        queues: int,
        workers: int,
        at_once: int,
        most: int,
        work: Batches,
    ) -> None:
        self.queues = [Waiting() for _ in range(queues)]
        self.workers = workers
        self._at_once, self._most, self._work = at_once, most, work
        self._under_way = [False] * queues
        self._batches = [0] * workers
        self._ready: list[deque[int]] = [deque() for _ in range(workers)]
        self._is_ready = [False] * queues
        self.in_batches = 0
        self.busy = Busy(simulation)

    @property
    def waiting(self) -> int:
        """How many events are in it, those in batches too."""
        return sum(queue.count for queue in self.queues) + self.in_batches

    def add(self, queue: int, cohorts: Sequence[tuple[float, int]]) -> None:
        """Behind the others of that queue."""
        self.queues[queue].add(cohorts)
        self._offer(queue)

    def _offer(self, queue: int) -> None:
        if self.queues[queue].count and not self._under_way[queue] and not self._is_ready[queue]:
            self._is_ready[queue] = True
            self._ready[queue % self.workers].append(queue)
        self._begin(queue % self.workers)

    def _begin(self, worker: int) -> None:
        while self._ready[worker] and self._batches[worker] < self._at_once:
            queue = self._ready[worker].popleft()
            self._is_ready[queue] = False
            batch = self.queues[queue].take(self._most)
            size = sum(count for _, count in batch)
            self._under_way[queue] = True
            self.busy.add(1)
            self._batches[worker] += 1
            self.in_batches += size
            self._work(queue, batch, partial(self._done, queue, worker, size))

    def _done(self, queue: int, worker: int, size: int) -> None:
        self.busy.add(-1)
        self._under_way[queue] = False
        self._batches[worker] -= 1
        self.in_batches -= size
        self._offer(queue)
        self._begin(worker)


class Service:
    """The model. `offer` a load, let the simulation run, and look at what has come through."""

    def __init__(self, layout: Layout, costs: Costs, load: float, seed: int = 8) -> None:
        self.simulation = Simulation()
        self._layout, self._costs = layout, costs
        self._load = load / layout.services
        self._chance = random.Random(seed)
        self.instances = [Servers(self.simulation, 1) for _ in range(layout.instances)]
        self.database = Place(self.simulation, layout.database_cores, costs)
        self.views = [Place(self.simulation, layout.database_cores, costs) for _ in range(layout.view_databases)]
        self.view_instances = [Servers(self.simulation, 1) for _ in self.views]
        # A batch is spread over partitions and so over all processors of the log, of which others take their share.
        self.log = Servers(self.simulation, 1)
        self._log_speed = layout.log_cores / layout.services
        self.commands = Lines(self.simulation, layout.instances, layout.instances, 1, GROUP_MAX, self._commit)
        self.outbox = Lines(self.simulation, layout.slots, layout.slots, 1, BATCH_MAX, self._publish)
        seconds = layout.handler_seconds
        self._handled_max = min(HANDLED_MAX, max(1, round(HANDLED_SECONDS / seconds))) if seconds else HANDLED_MAX
        readers, fillers = layout.instances, layout.view_databases or layout.instances
        self.handling = self._reading(readers, self._handle)
        self.view = self._reading(fillers, self._project)
        self.came = self.handled = self.shown = 0
        self.seen: list[tuple[float, int]] = []
        """How long events took from the command to the view, and how many of them took that."""
        self._turn = 0

    def _reading(self, readers: int, work: Batches) -> Lines:
        """A consumer of the topic in each of the readers; more than there are partitions have nothing to do."""
        partitions = self._layout.partitions
        return Lines(self.simulation, partitions, min(readers, partitions), AT_ONCE, self._handled_max, work)

    def run(self, until: float) -> None:
        """Goes on to that time."""
        if not self._turn:
            self.simulation.after(0.0, self._arrive)
        self.simulation.run(until)

    def waiting(self) -> dict[str, int]:
        """How many events wait or are in batches, by stage."""
        stages = {"commands": self.commands, "outbox": self.outbox, "handling": self.handling, "view": self.view}
        return {stage: lines.waiting for stage, lines in stages.items()}

    def _arrive(self) -> None:
        mean = self._load * TICK_SECONDS
        count = _poisson(self._chance, mean)
        if count:
            self.came += count
            self.commands.add(self._turn % self._layout.instances, [(self.simulation.now, count)])
        self._turn += 1
        self.simulation.after(TICK_SECONDS, self._arrive)

    def _seconds(self, us_each: float, size: int, us_a_batch: float) -> float:
        return (us_each * size + us_a_batch) / 1e6

    def _commit(self, instance: int, batch: list[tuple[float, int]], done: Work) -> None:
        costs, size = self._costs, sum(count for _, count in batch)

        def committed() -> None:
            for slot, cohorts in self._spread(batch, self._layout.slots).items():
                self.outbox.add(slot, cohorts)
            done()

        def write() -> None:
            seconds = self._seconds(costs.command.database_us, size, costs.transaction.database_us)
            self.database.commit(seconds, committed)

        own = self._seconds(costs.command.service_us, size, costs.transaction.service_us)
        self.instances[instance].use(own, write)

    def _publish(self, slot: int, batch: list[tuple[float, int]], done: Work) -> None:
        costs, size = self._costs, sum(count for _, count in batch)

        def in_the_log() -> None:
            for number, cohorts in self._spread(batch, self._layout.partitions).items():
                self.handling.add(number, cohorts)
                self.view.add(number, cohorts)
            seconds = self._seconds(costs.relay.database_us, size, 2 * costs.transaction.database_us)
            self.database.commit(seconds, done)

        def acknowledged() -> None:
            self.simulation.after(costs.log_transaction_us / 1e6, in_the_log)

        def publish() -> None:
            copies = self._layout.replicas * (costs.cluster_factor if self._layout.replicas > 1 else 1)
            self.log.use(costs.relay.log_us * size * copies / self._log_speed / 1e6, acknowledged)

        own = self._seconds(costs.relay.service_us, size, 2 * costs.transaction.service_us)
        self.instances[slot % self._layout.instances].use(own, publish)

    def _handle(self, number: int, batch: list[tuple[float, int]], done: Work) -> None:
        costs, size = self._costs, sum(count for _, count in batch)

        def handled() -> None:
            self.handled += size
            done()

        def write() -> None:
            seconds = self._seconds(costs.handling.database_us, size, costs.transaction.database_us)
            self.database.commit(seconds, handled)

        def wait() -> None:
            if self._layout.handler_seconds:
                self.simulation.after(self._layout.handler_seconds * size, write)
            else:
                write()

        worker = number % min(self._layout.instances, self._layout.partitions)
        own = self._seconds(costs.handling.service_us, size, costs.transaction.service_us)
        self._read(size, partial(self.instances[worker].use, own, wait))

    def _project(self, number: int, batch: list[tuple[float, int]], done: Work) -> None:
        costs, size = self._costs, sum(count for _, count in batch)
        place, worker = self.database, self.instances[number % min(self._layout.instances, self._layout.partitions)]
        if self.views:
            shard = number % len(self.views)
            place, worker = self.views[shard], self.view_instances[shard]

        def applied() -> None:
            self.shown += size
            self.seen += [(self.simulation.now - came, count) for came, count in batch]
            done()

        def write() -> None:
            place.commit(self._seconds(costs.view.database_us, size, costs.transaction.database_us), applied)

        own = self._seconds(costs.view.service_us, size, costs.transaction.service_us)
        self._read(size, partial(worker.use, own, write))

    def _read(self, size: int, then: Work) -> None:
        factor = self._costs.cluster_factor if self._layout.replicas > 1 else 1.0
        self.log.use(self._costs.read_log_us * size * factor / self._log_speed / 1e6, then)

    def _spread(self, batch: Sequence[tuple[float, int]], over: int) -> dict[int, list[tuple[float, int]]]:
        """
        The events by the slot or the partition of their keys, each as likely as the others; those of one batch are one
        cohort from there on, which came at their mean time.
        """
        size = sum(count for _, count in batch)
        came = sum(came * count for came, count in batch) / size
        whole, rest = divmod(size, over)
        counts = dict.fromkeys(range(over), whole) if whole else {}
        first = self._chance.randrange(over)
        for step in range(rest):
            at = (first + step) % over
            counts[at] = counts.get(at, 0) + 1
        return {at: [(came, count)] for at, count in counts.items()}


def _poisson(chance: random.Random, mean: float) -> int:
    """A number of arrivals; for many of them by the normal distribution that comes close."""
    if mean > 12:
        return max(0, round(chance.gauss(mean, mean**0.5)))
    count, at = 0, chance.expovariate(1.0)
    while at < mean:
        count += 1
        at += chance.expovariate(1.0)
    return count
