"""
One record alone, each of its handlers in a transaction of its own, until it succeeds or its attempts are used up.

Used up      a dead letter, with the record's raw bytes and the error, in the transaction that moves the checkpoint
"""

import random

import anyio

from eventbus.database import Checkpoints, DeadLetters, Inbox
from eventbus.delivery.backoff import Backoff
from eventbus.delivery.event_claim import NOT_FAILURES, EventClaim
from eventbus.delivery.incoming import Call, Incoming, dead_letter
from eventbus.delivery.outcomes import Outcomes
from eventbus.errors import ConcurrencyConflict
from eventbus.store import Transactions


class Attempts:
    """Settles single records of one service."""

    def __init__(self, service: str, transactions: Transactions, outcomes: Outcomes) -> None:
        self._service = service
        self._transactions = transactions
        self._outcomes = outcomes
        self._checkpoints = Checkpoints()
        self._inbox = Inbox()
        self._dead_letters = DeadLetters()

    async def settle(
        self, claim: EventClaim, work: Incoming, next_offset: int, failed: Call | None, error: Exception | None
    ) -> None:
        """*failed* and *error*: which handler has failed at it already, and how."""
        for number, call in enumerate(work.calls, start=1):
            behind = next_offset if number == len(work.calls) else max(claim.next_offset, work.record.offset)
            is_failed = failed is not None and failed.inbox_id == call.inbox_id
            await self._until_settled(claim, work, call, behind, error if is_failed else None)

    async def _until_settled(
        self, claim: EventClaim, work: Incoming, call: Call, next_offset: int, error: Exception | None
    ) -> None:
        """One handler, until it succeeds or its attempts are used up; *error*: how the first one failed, if it did."""
        options = call.invocation.definition.options
        pauses = Backoff(options.backoff_seconds, options.backoff_seconds_max)
        attempt = 0 if error is None else 1
        conflicts = 0
        while True:
            if error is not None:
                if attempt >= options.attempts:
                    await self._bury(claim, work, call, next_offset, error, attempt)
                    return
                pause = pauses.next()
                self._outcomes.failed(work, call, error, attempt, pause)
                await anyio.sleep(pause)
            attempt += 1
            try:
                await self._attempt(claim, work, call, next_offset, attempt)
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

    async def _attempt(self, claim: EventClaim, work: Incoming, call: Call, next_offset: int, attempt: int) -> None:
        async with self._transactions.begin() as transaction:
            checkpoint = await self._checkpoints.advance(transaction.connection, claim.checkpoint, next_offset)
            is_new = bool(await self._inbox.admit(transaction.connection, self._service, [call.inbox_id]))
            if is_new:
                unit = transaction.unit_of_work(work.metadata(attempt))
                with self._outcomes.span(claim, [work]):
                    await call.invocation(work.event, unit)
                    await unit.complete()
        claim.move(checkpoint, next_offset)
        if is_new:
            self._outcomes.handled({work.envelope.type: 1})
        else:
            self._outcomes.handled({}, repeated=1)

    async def _bury(
        self, claim: EventClaim, work: Incoming, call: Call, next_offset: int, error: Exception, attempts: int
    ) -> None:
        handler = call.invocation.definition.name
        letter = dead_letter(self._service, work.record, error, handler=handler, attempts=attempts)
        async with self._transactions.begin() as transaction:
            checkpoint = await self._checkpoints.advance(transaction.connection, claim.checkpoint, next_offset)
            # With a row in the inbox a repeat of the message is dropped, and not tried all over again.
            if await self._inbox.admit(transaction.connection, self._service, [call.inbox_id]):
                await self._dead_letters.add(transaction.connection, [letter])
        claim.move(checkpoint, next_offset)
        self._outcomes.dead(work.record, error, handler, attempts)
