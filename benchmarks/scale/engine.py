"""
A discrete-event simulation: work is called when its time has come, in the order of times and, at one time, of asking.

Servers   so many of one kind with one queue: the cores of a database, the one core of a Python process
Disk      syncs for all who wait when it begins: the more wait, the less one of them costs
"""

import heapq
from collections import deque
from collections.abc import Callable

Work = Callable[[], None]


class Simulation:
    """The clock, in seconds."""

    __slots__ = ("_due", "_number", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Work]] = []
        self._number = 0

    def after(self, seconds: float, work: Work) -> None:
        """Calls *work* so much later."""
        self._number += 1
        heapq.heappush(self._due, (self.now + seconds, self._number, work))

    def run(self, until: float) -> None:
        """Until that time, or until nothing is left to be done."""
        while self._due and self._due[0][0] <= until:
            self.now, _, work = heapq.heappop(self._due)
            work()
        self.now = until


class Busy:
    """How much time something has worked, several of it at once."""

    __slots__ = ("_at_work", "_seconds", "_simulation", "_since")

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._seconds = self._since = 0.0
        self._at_work = 0

    def add(self, count: int) -> None:
        """So many more work from now on; fewer, if it is negative."""
        self._seconds = self.seconds
        self._since = self._simulation.now
        self._at_work += count

    @property
    def seconds(self) -> float:
        """Until now, of all of them together."""
        return self._seconds + self._at_work * (self._simulation.now - self._since)


class Servers:
    """*count* equal servers; who comes first is served first."""

    __slots__ = ("_free", "_simulation", "_waiting", "busy", "count")

    def __init__(self, simulation: Simulation, count: int) -> None:
        self._simulation = simulation
        self.count = self._free = count
        self._waiting: deque[tuple[float, Work]] = deque()
        self.busy = Busy(simulation)

    def use(self, seconds: float, then: Work) -> None:
        """One of them for so long, then *then*."""
        if self._free:
            self._free -= 1
            self.busy.add(1)
            self._serve(seconds, then)
        else:
            self._waiting.append((seconds, then))

    def _serve(self, seconds: float, then: Work) -> None:
        def done() -> None:
            if self._waiting:
                self._serve(*self._waiting.popleft())
            else:
                self._free += 1
                self.busy.add(-1)
            then()

        self._simulation.after(seconds, done)


class Disk:
    """One sync at a time, of so many seconds, for all who have asked before it begins."""

    __slots__ = ("_is_syncing", "_seconds", "_simulation", "_waiting", "busy")

    def __init__(self, simulation: Simulation, seconds: float) -> None:
        self._simulation = simulation
        self._seconds = seconds
        self._waiting: list[Work] = []
        self._is_syncing = False
        self.busy = Busy(simulation)

    def sync(self, then: Work) -> None:
        """What was written before is on the disk when *then* is called."""
        self._waiting.append(then)
        if not self._is_syncing:
            self._is_syncing = True
            self.busy.add(1)
            self._begin()

    def _begin(self) -> None:
        served, self._waiting = self._waiting, []

        def done() -> None:
            if self._waiting:
                self._begin()
            else:
                self._is_syncing = False
                self.busy.add(-1)
            for then in served:
                then()

        self._simulation.after(self._seconds, done)
