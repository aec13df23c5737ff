"""The requests that wait in groups: who gets the answer, and what is dropped when a connection closes."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import count

from broker.errors import ErrorCode
from broker.groups.values import JoinAnswer, JoinResult, SyncAnswer, SyncResult


@dataclass(frozen=True, slots=True)
class _Join:
    group_id: str
    owner: Hashable
    on_complete: Callable[[JoinResult], None]


@dataclass(frozen=True, slots=True)
class _Sync:
    group_id: str
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

    def join(self, group_id: str, owner: Hashable, on_complete: Callable[[JoinResult], None]) -> int:
        return self._issue(_Join(group_id, owner, on_complete))

    def sync(self, group_id: str, owner: Hashable, on_complete: Callable[[SyncResult], None]) -> int:
        return self._issue(_Sync(group_id, owner, on_complete))

    def answer(self, answer: JoinAnswer | SyncAnswer) -> None:
        """Gives the answer to whoever holds its ticket, if anybody still does."""
        match answer, self._use_up(answer.ticket):
            case JoinAnswer(_, result), _Join(_, _, on_complete):
                on_complete(result)
            case SyncAnswer(_, result), _Sync(_, _, on_complete):
                on_complete(result)
            case _:
                pass

    def detach(self, owner: Hashable) -> list[tuple[str, int]]:
        """(group id, ticket) of everything that waited for *owner* and now does not."""
        return [
            (waiting.group_id, ticket)
            for ticket in sorted(self._by_owner.get(owner, ()))
            if (waiting := self._use_up(ticket)) is not None
        ]

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
