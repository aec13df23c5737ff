"""
The pure core of every domain object: what is decided, and what that makes of the state.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Command_contra = TypeVar("Command_contra", contravariant=True)
E = TypeVar("E")
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Decider(Generic[Command_contra, E, S]):
    """
    Three functions and no I/O: the same events always give the same state, the same state the same decision.

    initial    the state before the first event
    decide     (state, command) → the events that follow, or a DomainError
    evolve     (state, event) → the state after it; never refuses, for the event has happened

    Use it where functions read better than a class; `Aggregate` is sugar on it.
    """

    initial: Callable[[], S]
    decide: Callable[[S, Command_contra], Sequence[E]]
    evolve: Callable[[S, E], S]

    def fold(self, events: Iterable[E]) -> S:
        """The state after *events*."""
        state = self.initial()
        evolve = self.evolve
        for event in events:
            state = evolve(state, event)
        return state
