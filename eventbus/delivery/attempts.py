"""
One record alone, each of its handlers in a transaction of its own, until it succeeds or its attempts are used up.

Used up      it is given up (see `giving_up`), in the transaction that moves the checkpoint
"""

import random

import anyio
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database import Inbox, ParkedEvent, Parking
from eventbus.delivery.backoff import Backoff
from eventbus.delivery.event_claim import NOT_FAILURES, Fence
from eventbus.delivery.event_scope import handle
from eventbus.delivery.giving_up import GivingUp
from eventbus.delivery.incoming import Call, Incoming, dead_letter, parked_event
from eventbus.delivery.outcomes import Outcomes
from eventbus.delivery.retry_records import Retry
from eventbus.delivery.slice import parked_among
from eventbus.errors import ConcurrencyConflict
from eventbus.store import Transactions


class Attempts:
    """Settles single records of one service."""

    def __init__(self, service: str, transactions: Transactions, outcomes: Outcomes) -> None:
        self._service = service
        self._transactions = transactions
        self._outcomes = outcomes
        self._inbox = Inbox()
        self._parking = Parking()
        self._giving_up = GivingUp(service)

    async def settle(
        self, fence: Fence, work: Incoming, next_offset: int, failed: Call | None, error: Exception | None
    ) -> None:
        """*failed* and *error*: which handler has failed at it already, and how."""
        for number, call in enumerate(work.calls, start=1):
            behind = next_offset if number == len(work.calls) else max(fence.next_offset, work.record.offset)
            is_failed = failed is not None and failed.handler is call.handler
            await self._until_settled(fence, work, call, behind, error if is_failed else None)

    async def _until_settled(
        self, fence: Fence, work: Incoming, call: Call, next_offset: int, error: Exception | None
    ) -> None:
        """One handler, until it succeeds or its attempts are used up; *error*: how the first one failed, if it did."""
        options = call.handler.options
        pauses = Backoff(options.backoff_seconds, options.backoff_seconds_max)
        attempt = 0 if error is None else 1
        conflicts = 0
        while True:
            if error is not None:
                if attempt >= options.attempts:
                    await self._give_up(fence, work, call, next_offset, error, attempt)
                    return
                pause = pauses.next()
                self._outcomes.failed(work, call, error, attempt, pause)
                await self._transactions.clock.sleep(pause)
            attempt += 1
            try:
                await self._attempt(fence, work, call, next_offset, attempt)
            except NOT_FAILURES:
                raise
            except Exception as raised:
                if isinstance(raised, ConcurrencyConflict) and conflicts < options.retries_on_conflict:
                    conflicts += 1
                    attempt -= 1
                    error = None
                    await anyio.sleep(random.uniform(0, 0.01))
                else:
                    error = raised
            else:
                return

    async def _attempt(self, fence: Fence, work: Incoming, call: Call, next_offset: int, attempt: int) -> None:
        waiting: ParkedEvent | None = None
        async with fence.transaction(self._transactions, next_offset) as transaction:
            connection = transaction.connection
            is_new = await self._admit(connection, work, call)
            if is_new:
                waiting = await self._parked(connection, fence, work, call)
                if waiting is not None:
                    await self._parking.add(connection, [waiting])
                else:
                    with self._outcomes.span(fence, [work]):
                        await handle(transaction, work, call, attempt)
        if waiting is not None:
            self._outcomes.waiting([waiting])
        elif is_new:
            self._outcomes.handled({work.type: 1})
        else:
            self._outcomes.handled({}, repeated=1)

    async def _give_up(
        self, fence: Fence, work: Incoming, call: Call, next_offset: int, error: Exception, attempts: int
    ) -> None:
        now = self._transactions.clock.now()
        letter = dead_letter(self._service, work.record, error, now, handler=call.handler.name, attempts=attempts)
        parks = is_delayed = False
        async with fence.transaction(self._transactions, next_offset) as transaction:
            # With a row in the inbox a repeat of the message is dropped, and not tried all over again.
            if await self._admit(transaction.connection, work, call):
                retry = Retry(work.record, call.handler.name, attempts, 0, work.inbox_id(call))
                is_delayed = await self._giving_up.delay(transaction, retry, call.handler)
                if not is_delayed:
                    parks = await self._giving_up.keep(transaction, letter, call.handler)
                    await self._giving_up.publish_copy(transaction, work.record, call.handler, error, attempts)
        if parks:
            fence.parkings.add()
        if is_delayed:
            self._outcomes.delayed(work.record, error, call.handler.name, attempts)
        else:
            self._outcomes.dead(work.record, error, call.handler.name, attempts, parks=parks)

    async def _admit(self, connection: AsyncConnection, work: Incoming, call: Call) -> bool:
        return bool(await self._inbox.admit(connection, self._service, [work.inbox_id(call)]))

    async def _parked(
        self, connection: AsyncConnection, fence: Fence, work: Incoming, call: Call
    ) -> ParkedEvent | None:
        """The event as it waits, if its key is parked for this handler."""
        key, handler = work.record.key, call.handler.name
        if key is None or (handler, key) not in await parked_among(self._parking, connection, fence, [work]):
            return None
        return parked_event(self._service, work.record, key, handler, self._transactions.clock.now())
