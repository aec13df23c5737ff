"""
Several records in one transaction: the checkpoint moves (which fences), the inbox drops repeats, what belongs to a
parked key waits there, handlers run in order, what cannot be decoded becomes dead letters; then it commits.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database import Inbox, ParkedEvent, Parking
from eventbus.delivery.event_claim import NOT_FAILURES, Fence
from eventbus.delivery.event_scope import handle
from eventbus.delivery.giving_up import GivingUp
from eventbus.delivery.incoming import Call, Incoming, Undecodable, Work, dead_letter, parked_event
from eventbus.delivery.outcomes import Outcomes
from eventbus.delivery.pace import Pace
from eventbus.store import Transaction, Transactions


class Failed(Exception):
    """A handler's failure on its way out of the slice's transaction: which of the works, which of its handlers."""

    def __init__(self, index: int, call: Call, error: Exception) -> None:
        super().__init__(str(error))
        self.index = index
        self.call = call
        self.error = error


@dataclass(slots=True)
class _Told:
    """What is told when the transaction has committed."""

    handled: Mapping[str, int] = field(default_factory=dict[str, int])
    repeated: int = 0
    dead: list[tuple[Undecodable, Call | None, bool]] = field(
        default_factory=list[tuple[Undecodable, Call | None, bool]]
    )
    waiting: list[ParkedEvent] = field(default_factory=list[ParkedEvent])


class Slices:
    """Applies records of one claim together. *pace* is told how long handlers take."""

    def __init__(self, service: str, transactions: Transactions, outcomes: Outcomes, pace: Pace) -> None:
        self._service = service
        self._transactions = transactions
        self._outcomes = outcomes
        self._pace = pace
        self._inbox = Inbox()
        self._parking = Parking()
        self._giving_up = GivingUp(service)

    async def apply(self, fence: Fence, works: Sequence[Work], next_offset: int) -> None:
        """
        All works in one transaction, then the claim is at *next_offset*. Raises Failed for a handler's failure, after
        rolling back, and whatever the flush and the commit raise.
        """
        told = _Told()
        with self._outcomes.span(fence, works):
            async with fence.transaction(self._transactions, next_offset) as transaction:
                await self._handle(fence, works, transaction, told)
        self._outcomes.handled(told.handled, told.repeated)
        self._outcomes.waiting(told.waiting)
        for work, call, parks in told.dead:
            if parks:
                fence.parkings.add()
            self._outcomes.dead(work.record, work.error, None if call is None else call.handler.name, 0, parks=parks)

    async def _handle(self, fence: Fence, works: Sequence[Work], transaction: Transaction, told: _Told) -> None:
        connection = transaction.connection
        ids = [work.message + call.suffix for work in works if work.message is not None for call in work.calls]
        admitted = await self._inbox.admit(connection, self._service, ids)
        parked = await parked_among(self._parking, connection, fence, works)
        begun = time.monotonic()
        for index, work in enumerate(works):
            if isinstance(work, Undecodable) and not work.calls:
                await self._bury(transaction, work, None, told)
            for call in work.calls:
                inbox_id = work.inbox_id(call)
                if inbox_id is not None:
                    if inbox_id not in admitted:
                        told.repeated += 1
                        continue
                    # The same message may be in the batch twice.
                    admitted.remove(inbox_id)
                key = work.record.key
                if parked and key is not None and (call.name, key) in parked:
                    told.waiting.append(parked_event(self._service, work.record, key, call.name, transaction.now()))
                elif isinstance(work, Undecodable):
                    if await self._bury(transaction, work, call, told) and key is not None:
                        parked.add((call.name, key))
                else:
                    try:
                        await handle(transaction, work, call)
                    except NOT_FAILURES:
                        raise
                    except Exception as error:
                        raise Failed(index, call, error) from error
        told.handled = Counter(work.type for work in works if isinstance(work, Incoming))
        if works:
            self._pace.took(len(works), time.monotonic() - begun)
        await self._parking.add(connection, told.waiting)

    async def _bury(self, transaction: Transaction, work: Undecodable, call: Call | None, told: _Told) -> bool:
        handler = None if call is None else call.handler
        name = None if handler is None else handler.name
        letter = dead_letter(self._service, work.record, work.error, transaction.now(), handler=name, attempts=0)
        parks = await self._giving_up.keep(transaction, letter, handler)
        if handler is not None:
            await self._giving_up.publish_copy(transaction, work.record, handler, work.error, 0)
        told.dead.append((work, call, parks))
        return parks


async def parked_among(
    parking: Parking, connection: AsyncConnection, fence: Fence, works: Sequence[Work]
) -> set[tuple[str, bytes]]:
    """The parked handlers and keys among those of *works*; they stay so until this transaction ends."""
    if not fence.parkings.possible or not works:
        return set()
    keys = list({work.record.key: None for work in works if work.record.key is not None})
    found = await parking.among(connection, fence.consumer, fence.log.topic, keys)
    if not found:
        times = fence.parkings.times
        is_any = await parking.is_any(connection, fence.consumer, fence.log.topic)
        fence.parkings.possible = is_any or fence.parkings.times != times
    return found
