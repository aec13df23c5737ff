"""
How late the loop's thread is: what every client waits beside its own request.

A timer asks to be woken every PROBE_S and looks how much later it is. It runs only where metrics are listened for: an
idle broker without them sleeps.
"""

import asyncio
from bisect import bisect_left

PROBE_S = 0.25
BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class LoopLag:
    """Begins with the first probe; `stop()` ends it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.seconds = 0.0
        self._due = loop.time() + PROBE_S
        self._timer = loop.call_at(self._due, self._probe)

    def stop(self) -> None:
        self._timer.cancel()

    def _probe(self) -> None:
        now = self._loop.time()
        late = max(0.0, now - self._due)
        self.buckets[bisect_left(BOUNDS_S, late)] += 1
        self.seconds += late
        self._due = now + PROBE_S
        self._timer = self._loop.call_at(self._due, self._probe)
