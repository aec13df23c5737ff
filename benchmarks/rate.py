"""A rate that was measured, and the median of several."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """Units a second, and microseconds of this process's CPU for each, which hardly depend on who else is busy."""

    a_second: float
    cpu_us: float

    def times(self, units: int) -> "Rate":
        """The same by units, of which one of these has that many."""
        return Rate(self.a_second * units, self.cpu_us / units)


def median(found: Sequence[Rate]) -> Rate:
    """Of each of the two for itself."""
    return Rate(statistics.median(one.a_second for one in found), statistics.median(one.cpu_us for one in found))
