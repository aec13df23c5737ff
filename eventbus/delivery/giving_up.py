"""
What becomes of an event that a handler has given up: a dead letter, and where the handler parks, its key with it.

All of it is written in the transaction that moves on behind the event.
"""

from eventbus.database import DeadLetter, DeadLetters, Outbox, ParkedKey, Parking
from eventbus.delivery.copies import dead_letter_copy
from eventbus.handlers.registry import HandlerDefinition
from eventbus.store import Transaction
from eventbus.transport.port import IncomingRecord


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
