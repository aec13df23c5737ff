"""Waits between attempts: doubled each time, bounded, and never the same for two processes that began together."""

import random


class Backoff:
    """
    One series of waits. `next()` gives seconds: *first*, then twice that and so on up to *longest*, each cut by a
    random part of up to a quarter.
    """

    __slots__ = ("_first", "_longest", "_next")

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first

    def next(self) -> float:
        """The next wait in seconds."""
        wait = self._next
        self._next = min(wait * 2, self._longest)
        return wait * random.uniform(0.75, 1.0)

    def reset(self) -> None:
        """It has worked: begin again with the first wait."""
        self._next = self._first


def wait_before(repeat: int, first: float, longest: float) -> float:
    """The same wait by its number: before the first repeat, the second and so on, for whoever keeps no series."""
    return min(first * 2.0 ** min(repeat - 1, 60), longest) * random.uniform(0.75, 1.0)
