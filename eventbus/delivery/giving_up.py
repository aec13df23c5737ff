"""
What becomes of an event that a handler has given up: a dead letter, and where the handler parks, its key with it.

All of it is written in the transaction that moves on behind the event.
"""

from eventbus.database import DeadLetter, DeadLetters, Outbox, ParkedKey, Parking
from eventbus.delivery.copies import dead_letter_copy
from eventbus.delivery.retry_records import Retry, retry_row
from eventbus.handlers.registry import HandlerDefinition
from eventbus.handlers.retry_later import RetryLater
from eventbus.store import Transaction
from eventbus.transport.port import IncomingRecord


class NotHandled(Exception):
    """The handler that a record was kept for does not take its type any more."""


class GivingUp:
    """Of one service."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._dead_letters = DeadLetters()
        self._parking = Parking()
        self._outbox = Outbox()

    async def keep(self, transaction: Transaction, letter: DeadLetter, handler: HandlerDefinition | None) -> bool:
        """Keeps the letter as *handler*, if one is known, wants it; whether later events of its key wait behind it."""
        await self._dead_letters.add(transaction.connection, [letter])
        if handler is None or letter.key is None or handler.options.on_failure != "park":
            return False
        key = ParkedKey(self._service, letter.topic, letter.key, handler.name)
        await self._parking.park(transaction.connection, key, letter.id, letter.failed_at)
        return True

    async def delay(self, transaction: Transaction, retry: Retry, handler: HandlerDefinition | None) -> bool:
        """Has the retry wait for the handler's delay of its tier; False when the handler has none (left)."""
        on_failure = "park" if handler is None else handler.options.on_failure
        if not isinstance(on_failure, RetryLater) or retry.tier >= len(on_failure.delays):
            return False
        row = retry_row(self._service, retry, on_failure.delays[retry.tier], transaction.now())
        await self._outbox.add(transaction.connection, [row])
        return True

    async def publish_copy(
        self,
        transaction: Transaction,
        record: IncomingRecord,
        handler: HandlerDefinition,
        error: Exception,
        attempts: int,
    ) -> None:
        """A copy of the dead letter goes to the topic that the handler names for it, if it does."""
        if handler.options.dead_letter_topic is not None:
            row = dead_letter_copy(
                handler.options.dead_letter_topic, record, self._service, handler.name, error, attempts
            )
            await self._outbox.add(transaction.connection, [row])
