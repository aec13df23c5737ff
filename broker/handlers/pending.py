"""An answer that comes later: a fetch waits for data, a join for the other members, a produce for its fsync."""

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

A = TypeVar("A")
A_co = TypeVar("A_co", covariant=True)


class Deferred(Protocol[A_co]):
    """The reader's side of a pending answer."""

    def then(self, read: Callable[[A_co | None], None]) -> None:
        """Calls *read* with the answer, now or when it is there."""
        ...


class Pending(Generic[A]):
    """
    Completed once, by whoever wakes it, and read once, by the connection.

    When the connection has gone the completion is let go by its reader; `complete` never raises for that.
    """

    __slots__ = ("_answer", "_completed", "_then")

    def __init__(self) -> None:
        self._answer: A | None = None
        self._completed = False
        self._then: Callable[[A | None], None] | None = None

    @property
    def completed(self) -> bool:
        return self._completed

    def complete(self, answer: A | None) -> None:
        """Gives the answer (None: there is none). Raises RuntimeError the second time: a request has one answer."""
        if self._completed:
            raise RuntimeError("a pending answer was completed twice")
        self._completed = True
        if self._then is not None:
            self._then(answer)
        else:
            self._answer = answer

    def then(self, read: Callable[[A | None], None]) -> None:
        """Calls *read* with the answer, now or when it is there."""
        if self._completed:
            read(self._answer)
        else:
            self._then = read
