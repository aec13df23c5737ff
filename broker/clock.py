"""
Time, as a port: everything below the server takes its clock from its caller, so that a test turns the hands itself.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Two hands: one for what is written down, one for what is waited for."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since 1970 (UTC). May jump in both directions."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start. Never goes back; use it for every deadline."""
        ...


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is told to move."""

    __slots__ = ("_elapsed_ms", "_wall_ms")

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._wall_ms = now_ms
        self._elapsed_ms = 0

    def now_ms(self) -> int:
        return self._wall_ms

    def monotonic(self) -> float:
        return self._elapsed_ms / 1000

    def advance_ms(self, milliseconds: int) -> None:
        """Moves both hands. Raises ValueError when asked to go back: time passes forwards only."""
        if milliseconds < 0:
            raise ValueError(f"cannot advance by {milliseconds} ms; set_wall_ms() makes the wall clock jump")
        self._wall_ms += milliseconds
        self._elapsed_ms += milliseconds

    def set_wall_ms(self, now_ms: int) -> None:
        """Makes the wall clock jump, as an operator or NTP does; deadlines are not touched."""
        self._wall_ms = now_ms
