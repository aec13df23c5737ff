"""
Where time comes from: a port, so that what waits and expires can be tested under a clock that a test turns.

What a program means by time goes by it: when something happened, when it is to be tried again, when it is due. How long
a socket, a database or a rebalance may take is the machine's time and does not.
"""

import time
from datetime import UTC, datetime
from typing import Protocol

import anyio


class Clock(Protocol):
    """Use `now` for what is written down, `sleep` for what is waited for, `monotonic` for what is measured."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC. May jump when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds of the machine from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns when *seconds* have passed by this clock."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)
