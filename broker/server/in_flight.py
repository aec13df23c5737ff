"""
Memory that requests and answers take, over all connections: what queued.max.request.bytes bounds.

Requests    A frame above FRAME_FREE_BYTES is received when there is room for the whole of it; until then its connection
            reads nothing. Room is given in the order in which it was asked for, so that no large frame starves. A frame
            that is larger than all the room waits until it has all of it.
Stalled     Whoever holds room and has sent nothing for STALL_SECONDS while others wait is closed.
Answers     What is in memory and not sent yet (records are not: they leave from their files). A connection with unsent
            answers reads no more while there are more bytes of them than the limit, whosever they are.
So at most  the limit for requests, the limit and one answer per connection for answers, and for each connection what it
            may hold without asking.
Source      Kafka's queued.max.request.bytes, which bounds requests only
"""

from collections.abc import Callable
from typing import Protocol

FRAME_FREE_BYTES = 64 * 1024
STALL_SECONDS = 30.0


class Holder(Protocol):
    """A connection."""

    @property
    def last_active(self) -> float: ...
    def close(self, reason: str | None) -> None: ...


class InFlight:
    """Room in memory, in bytes. One thread; `now` is the loop's time, in seconds."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.received = 0
        """Bytes of room that frames have been given."""
        self.unsent = 0
        """Bytes of answers in memory; the connections keep it."""
        self._holders: dict[Holder, int] = {}
        self._waiting: dict[Holder, tuple[int, Callable[[], None]]] = {}

    @property
    def answers_are_many(self) -> bool:
        return self.unsent >= self.limit

    def take(self, holder: Holder, size: int, granted: Callable[[], None]) -> bool:
        """True when *holder* has room for a frame of *size* bytes now; else *granted* is called when it has."""
        if not self._waiting and self._fits(size):
            self._give(holder, size)
            return True
        self._waiting[holder] = (size, granted)
        return False

    def give_back(self, holder: Holder) -> None:
        """Ends what *holder* has or waits for, if anything, and gives its room to those who wait."""
        if self._waiting:
            self._waiting.pop(holder, None)
        size = self._holders.pop(holder, None)
        if size is None:
            return
        self.received -= size
        while self._waiting:
            next_holder, (size, granted) = next(iter(self._waiting.items()))
            if not self._fits(size):
                return
            del self._waiting[next_holder]
            self._give(next_holder, size)
            granted()

    def close_stalled(self, now: float) -> bool:
        """Closes those who hold room and have stalled, if others wait for it; whether somebody still waits."""
        if self._waiting:
            for holder in [each for each in self._holders if now - each.last_active >= STALL_SECONDS]:
                holder.close(
                    f"nothing came of a frame for {STALL_SECONDS:g} s while others wait for its room in memory "
                    "(queued.max.request.bytes)"
                )
        return bool(self._waiting)

    def _fits(self, size: int) -> bool:
        return self.received + min(size, self.limit) <= self.limit

    def _give(self, holder: Holder, size: int) -> None:
        room = min(size, self.limit)
        self._holders[holder] = room
        self.received += room
