"""
One timer for everything in the broker that has a deadline.

The floors below have no event loop: each says when it next has something to do (`next_deadline`, seconds of the
monotonic clock) and does it when told the time (`expire`). The alarm sleeps until the earliest of them. No deadline, no
wake-up: an idle broker sleeps.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from broker.clock import Clock

LOG = logging.getLogger("broker.alarm")

# A source whose deadline lies in the past although it has just run must not spin the loop.
RETRY_S = 0.05


class Timed(Protocol):
    def next_deadline(self) -> float | None:
        """Monotonic seconds at which `expire` has something to do; None while there is nothing."""
        ...

    def expire(self, now: float) -> object:
        """Does everything that is due at *now*. Must leave `next_deadline` later than *now*, or None."""
        ...


class Alarm:
    """`refresh()` is called after anything that may have made a deadline earlier; it costs a look at each source."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, sources: Sequence[Timed]) -> None:
        self._loop = loop
        self._clock = clock
        self._sources = tuple(sources)
        self._timer: asyncio.TimerHandle | None = None
        self._armed_at = float("inf")
        self._stopped = False

    def refresh(self) -> None:
        earliest = float("inf")
        for source in self._sources:
            deadline = source.next_deadline()
            if deadline is not None and deadline < earliest:
                earliest = deadline
        # A later deadline needs no new timer: the armed one wakes, finds nothing due and sleeps again.
        if earliest < self._armed_at:
            self._arm(earliest)

    def stop(self) -> None:
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, at: float) -> None:
        if self._stopped:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_at = at
        # Not call_at: the loop's clock need not be the one that the deadlines are told in.
        self._timer = self._loop.call_later(max(0.0, at - self._clock.monotonic()), self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._armed_at = float("inf")
        now = self._clock.monotonic()
        late = False
        for source in self._sources:
            deadline = source.next_deadline()
            if deadline is None or deadline > now:
                continue
            try:
                source.expire(now)
            except Exception:
                LOG.exception("background work failed source=%s; it is tried again", type(source).__name__)
            deadline = source.next_deadline()
            late = late or (deadline is not None and deadline <= now)
        if late:
            self._arm(now + RETRY_S)
        else:
            self.refresh()
