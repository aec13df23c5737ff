"""
Medians and ranges, and what may be said of two of them.

Two contestants are called different only where their ranges do not overlap: on a machine with two cores the medians of
five repetitions differ by a tenth when nothing else does.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, median and most of some repetitions."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(min(values), statistics.median(values), max(values))

    def overlaps(self, other: "Spread") -> bool:
        return self.low <= other.high and other.low <= self.high


class Verdict(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    NOT_TOLD_APART = "not told apart"


@dataclass(frozen=True, slots=True)
class Comparison:
    """*ratio* is that of the medians; it stands for a difference only where the verdict is one."""

    ratio: float
    verdict: Verdict


def compare(ours: Sequence[float], theirs: Sequence[float], *, more_is_better: bool) -> Comparison:
    """Our repetitions beside theirs."""
    mine, other = Spread.of(ours), Spread.of(theirs)
    ratio = mine.median / other.median if other.median else math.inf
    if mine.overlaps(other):
        return Comparison(ratio, Verdict.NOT_TOLD_APART)
    return Comparison(ratio, Verdict.BETTER if (mine.median > other.median) == more_is_better else Verdict.WORSE)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """
    The exponent k of y = c * x^k that fits best (least squares of the logarithms): 0 is flat, 1 grows in proportion.

    Points have to be positive, and two at least with different x. Raises ValueError.
    """
    if len({x for x, _ in points}) < 2 or any(x <= 0 or y <= 0 for x, y in points):
        raise ValueError(f"a slope wants two or more positive points with different x, not {list(points)}")
    return statistics.linear_regression([math.log(x) for x, _ in points], [math.log(y) for _, y in points]).slope


def percentile(values: Sequence[float], share: float) -> float:
    """The value that *share* of them are at or under: 0.5, 0.99, 0.999."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(len(ordered) * share) - 1))]
