"""
Delivery broken on purpose, in the process under test and only there: the checkpoint is committed before the effect.

Everything else is as it is: the effect's transaction follows at once, and a process that nobody kills has every effect.
"""

from collections.abc import Callable, Sequence
from copy import copy
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database import Inbox
from eventbus.delivery.event_claim import Fence
from eventbus.delivery.incoming import Work
from eventbus.delivery.slice import Slices
from eventbus.projections import ProjectionRunner
from eventbus.projections.runner import ProjectionClaim, _Piece


def committing_before_handlers() -> None:
    """Checkpoint and inbox rows have a transaction of their own, and the handlers the next one."""
    apply = Slices.apply

    async def broken(self: Slices, fence: Fence, works: Sequence[Work], next_offset: int) -> None:
        ids = [id for work in works for call in work.calls if (id := work.inbox_id(call)) is not None]
        async with fence.transaction(self._transactions, next_offset) as transaction:
            admitted = await self._inbox.admit(transaction.connection, self._service, ids)
        behind = copy(self)  # another partition's slice may be on its way with the inbox as it is
        behind._inbox = _Admitted(admitted)
        await apply(behind, fence, works, next_offset)

    Slices.apply = broken  # type: ignore[method-assign]


def committing_before_rows() -> None:
    """A projection's checkpoint has a transaction of its own, and its rows the next one."""
    commit = ProjectionRunner._commit

    async def broken(self: ProjectionRunner, claim: ProjectionClaim, piece: _Piece) -> None:
        async with self._database.transaction() as connection:
            claim.checkpoint = await self._checkpoints.advance(connection, claim.checkpoint, piece.next_offset)
        await commit(self, claim, piece)

    ProjectionRunner._commit = broken  # type: ignore[method-assign]


class _Admitted(Inbox):
    """Answers what the transaction before has admitted."""

    def __init__(self, admitted: set[str]) -> None:
        self._admitted = admitted

    async def admit(self, connection: AsyncConnection, consumer: str, message_ids: Sequence[str]) -> set[str]:
        return set(self._admitted)


BREAKS: Final[dict[str, Callable[[], None]]] = {
    "committing before handlers": committing_before_handlers,
    "committing before rows": committing_before_rows,
}
