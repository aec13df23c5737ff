"""
A clock that stands still until a test turns it: retries, delays and times without sleeping.

    clock = VirtualClock()
    app = await event_bus.start(shop, clock=clock)
    await event_bus.send(PlaceOrder(order_id="o-1"))
    await event_bus.until(lambda: clock.waiting)        # the handler has failed, and waits before it tries again
    clock.advance(seconds=30)

Goes by it    Metadata.time, the times of events, dead letters and parked events, the pauses between a handler's
              attempts, the delays of retry_later, and whatever a handler does with the `Clock` that it asks for
Does not      the machine's own time: how long a broker, a database, a rebalance or a view that is behind is waited
              for, leases, the timestamps of the log
"""

import heapq
import time
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

import anyio
import anyio.lowlevel

FIRST: Final = datetime(2030, 1, 1, tzinfo=UTC)
"""What a virtual clock shows when it is not told otherwise: the same in every run."""


class VirtualClock:
    """
    now   what it shows first; aware

    A `Clock`. Turn it on the event loop of those who wait; showing the time is for every thread. Raises ValueError for
    a time without a zone.
    """

    def __init__(self, now: datetime = FIRST) -> None:
        if now.tzinfo is None:
            raise ValueError(f"VirtualClock({now.isoformat()}): the time has no zone: give one, such as tzinfo=UTC")
        self._now = now.astimezone(UTC)
        self._sleepers: list[tuple[datetime, int, anyio.Event]] = []
        self._numbers = count()

    def __repr__(self) -> str:
        return f"VirtualClock({self._now.isoformat()}, {len(self._sleepers)} waiting)"

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        """The machine's: how long work takes is no matter of what time it is."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Returns when the clock has been turned on by *seconds*; cancelled, it is as if nobody had waited."""
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        sleeper = (self._now + timedelta(seconds=seconds), next(self._numbers), anyio.Event())
        heapq.heappush(self._sleepers, sleeper)
        try:
            await sleeper[2].wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
                heapq.heapify(self._sleepers)

    @property
    def waiting(self) -> list[datetime]:
        """When those who sleep are due, the next one first."""
        return [due for due, _, _ in sorted(self._sleepers, key=lambda sleeper: sleeper[:2])]

    def advance(self, by: timedelta | None = None, *, seconds: float = 0.0) -> None:
        """
        Turns it on by *by* and *seconds*; whoever is due by then wakes, in the order in which they are due.

        Who sleeps again after that sleeps from the new time on. Raises ValueError: it does not go back.
        """
        on = (by or timedelta()) + timedelta(seconds=seconds)
        if on < timedelta():
            raise ValueError(f"a clock does not go back: advance by 0 or more, not by {on.total_seconds():g} s")
        self._turn_to(self._now + on)

    def advance_to_next(self) -> bool:
        """Turns it to where the next of those who sleep is due; False, and nothing happens, when nobody does."""
        if not self._sleepers:
            return False
        self._turn_to(self._sleepers[0][0])
        return True

    def _turn_to(self, moment: datetime) -> None:
        self._now = moment
        while self._sleepers and self._sleepers[0][0] <= moment:
            heapq.heappop(self._sleepers)[2].set()
