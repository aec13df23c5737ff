"""
What is measured: a case has contestants that do the same work in turns, and measures that the work is told in.

A contestant that loses or doubles a message raises Unsound and is out of the case, with its words in the table: a
figure of work that was not done is worth nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from benchmarks.room import Room

Figures = Mapping[str, float]


class Unsound(Exception):
    """Messages were lost, doubled or out of order: the contestant is disqualified."""


class Mode(StrEnum):
    """How much is run: QUICK in 3 minutes, FULL in 30, SCALE the long curves."""

    QUICK = "quick"
    FULL = "full"
    SCALE = "scale"


@dataclass(frozen=True, slots=True)
class Measure:
    """One kind of figure. The first of a case is the one that is drawn."""

    name: str
    unit: str
    more_is_better: bool


@dataclass(frozen=True, slots=True)
class Target:
    """
    An aim: the median of *ours* over that of *against* in *measure*, at least or at most *ratio*.

    Without *against* the median itself is compared with *ratio*, in the measure's unit.
    """

    measure: str
    ours: str
    against: str | None
    ratio: float
    at_least: bool = True


class Contestant(Protocol):
    """Does the work once when it is asked to."""

    @property
    def name(self) -> str: ...

    def run(self) -> Figures:
        """One repetition: a figure for every measure that it has. Raises Unsound."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Doing:
    """A contestant that is a function."""

    name: str
    work: Callable[[], Figures]

    def run(self) -> Figures:
        return self.work()

    def close(self) -> None:
        return None


Opened = AbstractContextManager[Sequence[Contestant]]


@dataclass(frozen=True, slots=True)
class Case:
    """
    name     `room.what.variant`; ONLY=… takes every case whose name begins so
    title    what the figures are of, for people
    ours     the contestant that ratios are given for
    open     its contestants, ready to be asked, on the servers of the room
    points   for a curve: the measures are those of each point, `latency@1000` is the one at x = 1000
    bend     for a curve: what a slope that is not flat would mean
    """

    name: str
    title: str
    measures: tuple[Measure, ...]
    ours: str
    open: Callable[["Room"], Opened]
    targets: tuple[Target, ...] = ()
    modes: frozenset[Mode] = frozenset({Mode.FULL})
    repetitions: int = 5
    warm_up: int = 1
    x_label: str = ""
    bend: str = ""
    seconds_max: float = 120.0
    note: str = field(default="")

    @property
    def group(self) -> str:
        """The first two parts of the name: what shares a picture."""
        return ".".join(self.name.split(".")[:2])
