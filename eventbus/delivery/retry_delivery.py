"""
Handles the records of one delay topic when they are due: the `Subscription` behind `retry_later`.

A record    alone, in a transaction with the checkpoint and an inbox row. A handler that fails once more passes it on to
            its next delay or, after the last one, to the dead letters, in one transaction with the checkpoint
Waiting     the partition's first record is due first; until then nothing of it is
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from eventbus.database import Checkpoint, Checkpoints, Database, Inbox, LogPartition
from eventbus.delivery.event_claim import NOT_FAILURES
from eventbus.delivery.event_scope import handle
from eventbus.delivery.giving_up import GivingUp, NotHandled
from eventbus.delivery.incoming import Call, Incoming, Sorting, Undecodable, dead_letter
from eventbus.delivery.outcomes import Outcomes
from eventbus.delivery.retry_records import Retry, read_retry, retry_topic
from eventbus.delivery.subscription import check_within
from eventbus.errors import ConcurrencyConflict, UndecodableMessage
from eventbus.handlers.invocation import Invocation
from eventbus.handlers.registry import HandlerDefinition
from eventbus.handlers.retry_later import Delay, RetryLater
from eventbus.messages import Event
from eventbus.observability import Counters
from eventbus.serialization.types import MessageTypes
from eventbus.store import Transactions
from eventbus.transport.port import IncomingRecord

_log = logging.getLogger("eventbus.delivery")

_GENERATION: Final = 0
_WAIT_SECONDS: Final = 1.0
"""The longest wait within one batch: a stop or a rebalance waits for it."""


@dataclass(slots=True)
class RetryClaim:
    """A partition of a delay topic."""

    checkpoint: Checkpoint
    next_offset: int

    @property
    def log(self) -> LogPartition:
        return self.checkpoint.log


class RetryDelivery:
    """One delay of a service, for all of its handlers that have it."""

    def __init__(
        self,
        service: str,
        delay: Delay,
        handlers: Mapping[type[Event], Sequence[Invocation]],
        types: MessageTypes,
        database: Database,
        transactions: Transactions,
        *,
        counters: Counters | None = None,
    ) -> None:
        self._service = service
        self._topic = retry_topic(service, delay)
        self._sorting = Sorting(handlers, types)
        self._definitions = {call.definition.name: call.definition for of in handlers.values() for call in of}
        self._database = database
        self._transactions = transactions
        self._outcomes = Outcomes(service, counters or Counters())
        self._checkpoints = Checkpoints()
        self._inbox = Inbox()
        self._giving_up = GivingUp(service)

    @property
    def name(self) -> str:
        return self._topic

    @property
    def group_id(self) -> str:
        return self._topic

    @property
    def topics(self) -> Sequence[str]:
        return (self._topic,)

    async def claim(self, log: LogPartition, start: int, end: int) -> RetryClaim:
        async with self._database.transaction() as connection:
            checkpoint = await self._checkpoints.claim(connection, self.name, _GENERATION, log)
            next_offset = start if checkpoint.next_offset is None else checkpoint.next_offset
            check_within(self.name, log, next_offset, start, end)
        return RetryClaim(checkpoint, next_offset)

    async def release(self, claim: RetryClaim) -> None:
        """Nothing is held outside of transactions."""

    async def apply(self, claim: RetryClaim, records: Sequence[IncomingRecord], next_offset: int) -> None:
        """Handles what is due, and returns without the rest, which it is given again."""
        for index, record in enumerate(records):
            behind = next_offset if index + 1 == len(records) else records[index + 1].offset
            try:
                retry = read_retry(record)
            except UndecodableMessage as error:
                await self._bury(claim, record, error, behind)
                continue
            if not await self._wait_until_due(retry):
                return
            await self._settle(claim, retry, behind)
        if claim.next_offset < next_offset:
            async with self._database.transaction() as connection:
                checkpoint = await self._checkpoints.advance(connection, claim.checkpoint, next_offset)
            claim.checkpoint, claim.next_offset = checkpoint, next_offset

    async def _wait_until_due(self, retry: Retry) -> bool:
        """Waits for it, not longer than one batch may; whether it is due now."""
        clock = self._transactions.clock
        with anyio.move_on_after(_WAIT_SECONDS):
            while (wait := retry.due_at_ms / 1000 - clock.now().timestamp()) > 0:
                await clock.sleep(wait)
            return True
        return False

    async def _settle(self, claim: RetryClaim, retry: Retry, next_offset: int) -> None:
        conflicts = 0
        definition = self._definitions.get(retry.handler)
        while True:
            try:
                await self._handle(claim, retry, next_offset)
            except NOT_FAILURES:
                raise
            except Exception as error:
                if isinstance(error, ConcurrencyConflict) and definition is not None:
                    conflicts += 1
                    if conflicts <= definition.options.retries_on_conflict:
                        continue
                await self._give_up(claim, retry, definition, error, next_offset)
            return

    async def _handle(self, claim: RetryClaim, retry: Retry, next_offset: int) -> None:
        incoming, call = self._read(retry)
        async with self._transactions.begin() as transaction:
            connection = transaction.connection
            checkpoint = await self._checkpoints.advance(connection, claim.checkpoint, next_offset)
            is_new = bool(await self._inbox.admit(connection, self._service, [retry.inbox_id]))
            if is_new:
                await handle(transaction, incoming, call, retry.attempts + 1)
        claim.checkpoint, claim.next_offset = checkpoint, next_offset
        if is_new:
            self._outcomes.handled({incoming.type: 1})
        else:
            self._outcomes.handled({}, repeated=1)

    def _read(self, retry: Retry) -> tuple[Incoming, Call]:
        found = self._sorting.for_handler(retry.record, retry.handler)
        if isinstance(found, Undecodable):
            raise found.error
        if not isinstance(found, tuple):
            raise NotHandled(f"{retry.handler} does not take the event any more: discard the letter, or bring it back")
        return found

    async def _give_up(
        self, claim: RetryClaim, retry: Retry, definition: HandlerDefinition | None, error: Exception, next_offset: int
    ) -> None:
        further = retry.failed()
        attempts, is_last = further.attempts, True
        async with self._transactions.begin() as transaction:
            connection = transaction.connection
            checkpoint = await self._checkpoints.advance(connection, claim.checkpoint, next_offset)
            if await self._inbox.admit(connection, self._service, [retry.inbox_id]):
                is_last = not await self._giving_up.delay(transaction, further, definition)
                if is_last:
                    letter = dead_letter(
                        self._service, retry.record, error, transaction.now(), handler=retry.handler, attempts=attempts
                    )
                    await self._giving_up.keep(transaction, letter, definition)
                    if definition is not None:
                        await self._giving_up.publish_copy(transaction, retry.record, definition, error, attempts)
        claim.checkpoint, claim.next_offset = checkpoint, next_offset
        if is_last:
            self._outcomes.dead(retry.record, error, retry.handler, attempts)
        else:
            self._outcomes.delayed(retry.record, error, retry.handler, attempts)

    async def _bury(self, claim: RetryClaim, record: IncomingRecord, error: Exception, next_offset: int) -> None:
        async with self._transactions.begin() as transaction:
            checkpoint = await self._checkpoints.advance(transaction.connection, claim.checkpoint, next_offset)
            letter = dead_letter(self.name, record, error, transaction.now(), handler=None, attempts=0)
            await self._giving_up.keep(transaction, letter, None)
        claim.checkpoint, claim.next_offset = checkpoint, next_offset
        self._outcomes.dead(record, error, None, 0)


def retry_delays(definitions: Sequence[HandlerDefinition]) -> list[Delay]:
    """Every delay of these handlers, each once, the shortest first."""
    found = {delay for one in definitions for delay in _delays(one)}
    return sorted(found, key=lambda delay: (delay.seconds, delay.text))


def failure_topics(service: str, definitions: Sequence[HandlerDefinition]) -> set[str]:
    """The topics that a service with these handlers needs for what fails: delay topics, and copies of dead letters."""
    copies = {one.options.dead_letter_topic for one in definitions if one.options.dead_letter_topic is not None}
    return copies | {retry_topic(service, delay) for delay in retry_delays(definitions)}


def say_order_is_given_up(definitions: Sequence[HandlerDefinition]) -> None:
    """Once at a service's start, for each handler that retries later."""
    for one in definitions:
        if delays := _delays(one):
            _log.info(
                "handler %s retries failed events after %s: the order of their keys is given up",
                one.name,
                ", ".join(delay.text for delay in delays),
            )


def _delays(definition: HandlerDefinition) -> tuple[Delay, ...]:
    on_failure = definition.options.on_failure
    return on_failure.delays if isinstance(on_failure, RetryLater) else ()
