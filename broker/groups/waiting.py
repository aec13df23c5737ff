"""The requests that wait in groups: who gets the answer, and what is dropped when a connection closes."""

from collections.abc import Callable, Hashable
from itertools import count
from typing import NamedTuple

from broker.errors import ErrorCode
from broker.groups.values import JoinAnswer, JoinResult, SyncAnswer, SyncResult


class _Join(NamedTuple):
    owner: Hashable
    on_complete: Callable[[JoinResult], None]


class _Sync(NamedTuple):
    owner: Hashable
    on_complete: Callable[[SyncResult], None]


class WaitingRequests:
    """
    Tickets, each for one join or sync of one owner (a connection).

    A ticket is used up by its answer, or by its owner's end. Tickets are never used twice, so a late answer for a
    connection that has gone finds nobody, not whoever came after it.
    """

    __slots__ = ("_by_owner", "_numbers", "_waiting")

    def __init__(self) -> None:
        self._waiting: dict[int, _Join | _Sync] = {}
        self._by_owner: dict[Hashable, set[int]] = {}
        self._numbers = count(1)

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self, owner: Hashable, on_complete: Callable[[JoinResult], None]) -> int:
        return self._issue(_Join(owner, on_complete))

    def sync(self, owner: Hashable, on_complete: Callable[[SyncResult], None]) -> int:
        return self._issue(_Sync(owner, on_complete))

    def answer(self, answer: JoinAnswer | SyncAnswer) -> None:
        """Gives the answer to whoever holds its ticket, if anybody still does."""
        match answer, self._use_up(answer.ticket):
            case JoinAnswer(_, result), _Join(_, on_complete):
                on_complete(result)
            case SyncAnswer(_, result), _Sync(_, on_complete):
                on_complete(result)
            case _:
                pass

    def detach(self, owner: Hashable) -> int:
        """Uses up every ticket of *owner*; how many there were."""
        tickets = list(self._by_owner.get(owner, ()))
        for ticket in tickets:
            self._use_up(ticket)
        return len(tickets)

    def refuse_all(self, error: ErrorCode) -> None:
        """Answers everything with *error*."""
        for ticket in list(self._waiting):
            match self._use_up(ticket):
                case _Join() as join:
                    join.on_complete(JoinResult(error=error))
                case _Sync() as sync:
                    sync.on_complete(SyncResult(error=error))
                case None:
                    pass

    def _issue(self, waiting: _Join | _Sync) -> int:
        ticket = next(self._numbers)
        self._waiting[ticket] = waiting
        self._by_owner.setdefault(waiting.owner, set()).add(ticket)
        return ticket

    def _use_up(self, ticket: int) -> _Join | _Sync | None:
        waiting = self._waiting.pop(ticket, None)
        if waiting is not None:
            of_owner = self._by_owner[waiting.owner]
            of_owner.discard(ticket)
            if not of_owner:
                del self._by_owner[waiting.owner]
        return waiting
