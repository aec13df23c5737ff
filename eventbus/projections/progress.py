"""
How far a rebuild has come, as a value to show.
"""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from eventbus.clock import Clock

Phase = Literal[
    "reading the event store",
    "waiting for the relay",
    "building",
    "waiting for the live view",
    "built",
    "switching",
    "comparing",
    "live",
]

_WINDOW_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RebuildProgress:
    """
    Offsets are counted, of all partitions together: gaps count as done, so the sum is the log's length. While the event
    store is read, its events are counted.
    """

    projection: str
    generation: int
    phase: Phase
    done: int
    total: int
    per_second: float
    """Over the last seconds; 0 at the beginning."""
    seconds_left: float | None
    """None: no telling yet."""


class RateMeter:
    """Offsets, or events, a second over a sliding window."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()
        self._counts_events = False

    def rate(self, phase: Phase, done: int) -> float:
        """The rate now that *done* is reached."""
        counts_events = phase == "reading the event store"
        if counts_events != self._counts_events:
            self._counts_events = counts_events
            self._seen.clear()
        now = self._clock.monotonic()
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[0][0] < now - _WINDOW_SECONDS:
            self._seen.popleft()
        first_time, first_done = self._seen[0]
        return (done - first_done) / (now - first_time) if now > first_time else 0.0
