"""
Works that follow each other in a partition, or in one of its lanes: in one transaction, and around what fails.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from eventbus.delivery.attempts import Attempts
from eventbus.delivery.event_claim import NOT_FAILURES, Fence
from eventbus.delivery.incoming import Undecodable, Work
from eventbus.delivery.outcomes import Outcomes
from eventbus.delivery.pace import Pace
from eventbus.delivery.slice import Failed, Slices
from eventbus.errors import ConcurrencyConflict
from eventbus.handlers.registry import HandlerDefinition
from eventbus.store import Transactions

_CONFLICTS_MAX: Final = 2


class Batches:
    """Of one service."""

    def __init__(
        self,
        service: str,
        transactions: Transactions,
        outcomes: Outcomes,
        definitions: Iterable[HandlerDefinition],
    ) -> None:
        self._pace = Pace()
        self._slices = Slices(service, transactions, outcomes, self._pace)
        self._attempts = Attempts(service, transactions, outcomes)
        self._alone = frozenset(one.name for one in definitions if one.options.transaction == "each")

    @property
    def size(self) -> int:
        """How many works a transaction is to have."""
        return self._pace.size

    async def apply(self, fence: Fence, works: Sequence[Work], next_offset: int) -> None:
        """
        All works, in their order, then the fence is at *next_offset*. Raises what is nobody's failure (NOT_FAILURES);
        the works before the fence's `next_offset` are done then.
        """
        limit = largest = max(1, len(works))
        suspect: tuple[int, Failed | None] | None = None
        conflicts = 0
        while works:
            if (suspect is not None and suspect[0] == 0) or self._goes_alone(works[0]):
                failed = suspect[1] if suspect is not None and suspect[0] == 0 else None
                await self._settle(fence, works[0], _end(works, 1, next_offset), failed)
                works, suspect, conflicts = works[1:], _behind(suspect, 1), 0
                limit = largest if suspect is None else max(1, min(largest, suspect[0]))
                continue
            together = self._together(works, limit)
            try:
                await self._slices.apply(fence, works[:together], _end(works, together, next_offset))
            except NOT_FAILURES:
                raise
            except ConcurrencyConflict:
                conflicts += 1
                if conflicts > _CONFLICTS_MAX:
                    limit, suspect = 1, (0, None)
            except Failed as failed:
                if not isinstance(failed.error, ConcurrencyConflict):
                    limit, suspect = failed.index, (failed.index, failed)
                elif conflicts < _CONFLICTS_MAX:
                    conflicts += 1
                else:
                    limit, suspect = failed.index, (failed.index, None)
            except Exception:
                # At the flush or the commit, where no work can be told to be the cause: one by one.
                if together == 1:
                    suspect = (0, None)
                limit = largest = 1
            else:
                works = works[together:]
                suspect = _behind(suspect, together)
                limit = largest if suspect is None else min(largest, suspect[0])
        if fence.next_offset < next_offset:
            await self._slices.apply(fence, (), next_offset)

    def _together(self, works: Sequence[Work], limit: int) -> int:
        """How many of the first *limit* works share a transaction."""
        if not self._alone:
            return min(limit, len(works))
        return next(
            (index for index, work in enumerate(works[:limit]) if self._goes_alone(work)), min(limit, len(works))
        )

    def _goes_alone(self, work: Work) -> bool:
        return bool(self._alone) and any(call.handler.name in self._alone for call in work.calls)

    async def _settle(self, fence: Fence, work: Work, next_offset: int, failed: Failed | None) -> None:
        if isinstance(work, Undecodable):
            await self._slices.apply(fence, [work], next_offset)
        else:
            call, error = (failed.call, failed.error) if failed is not None else (None, None)
            await self._attempts.settle(fence, work, next_offset, call, error)


def _end(works: Sequence[Work], count: int, next_offset: int) -> int:
    """The checkpoint behind the first *count* works: what lies up to the next one is passed over."""
    return next_offset if count >= len(works) else works[count].record.offset


def _behind(suspect: tuple[int, Failed | None] | None, count: int) -> tuple[int, Failed | None] | None:
    """The suspect, when the first *count* works are done."""
    return None if suspect is None or suspect[0] < count else (suspect[0] - count, suspect[1])
