"""
Several records in one transaction: the checkpoint moves (which fences), the inbox drops repeats, handlers run in order,
what cannot be decoded becomes dead letters; then it commits.
"""

from collections.abc import Sequence

from eventbus.database import Checkpoints, DeadLetters, Inbox
from eventbus.delivery.event_claim import NOT_FAILURES, EventClaim
from eventbus.delivery.incoming import Call, Incoming, Undecodable, Work, dead_letter
from eventbus.delivery.outcomes import Outcomes
from eventbus.store import Transactions


class Failed(Exception):
    """A handler's failure on its way out of the slice's transaction: which of the works, which of its handlers."""

    def __init__(self, index: int, call: Call, error: Exception) -> None:
        super().__init__(str(error))
        self.index = index
        self.call = call
        self.error = error


class Slices:
    """Applies records of one claim together."""

    def __init__(self, service: str, transactions: Transactions, outcomes: Outcomes) -> None:
        self._service = service
        self._transactions = transactions
        self._outcomes = outcomes
        self._checkpoints = Checkpoints()
        self._inbox = Inbox()
        self._dead_letters = DeadLetters()

    async def apply(self, claim: EventClaim, works: Sequence[Work], next_offset: int) -> None:
        """
        All works in one transaction, then the claim is at *next_offset*. Raises Failed for a handler's failure, after
        rolling back, and whatever the flush and the commit raise.
        """
        handled: dict[str, int] = {}
        repeated = 0
        letters = [
            dead_letter(self._service, work.record, work.error, handler=None, attempts=0)
            for work in works
            if isinstance(work, Undecodable)
        ]
        ids = [call.inbox_id for work in works if isinstance(work, Incoming) for call in work.calls]
        with self._outcomes.span(claim, works):
            async with self._transactions.begin() as transaction:
                connection = transaction.connection
                checkpoint = await self._checkpoints.advance(connection, claim.checkpoint, next_offset)
                admitted = await self._inbox.admit(connection, self._service, ids)
                if letters:
                    await self._dead_letters.add(connection, letters)
                for index, work in enumerate(works):
                    if isinstance(work, Undecodable):
                        continue
                    for call in work.calls:
                        if call.inbox_id not in admitted:
                            repeated += 1
                            continue
                        # The same message may be in the batch twice.
                        admitted.remove(call.inbox_id)
                        unit = transaction.unit_of_work(work.metadata(1))
                        try:
                            await call.invocation(work.event, unit)
                            await unit.complete()
                        except NOT_FAILURES:
                            raise
                        except Exception as error:
                            raise Failed(index, call, error) from error
                    handled[work.envelope.type] = handled.get(work.envelope.type, 0) + 1
        claim.move(checkpoint, next_offset)
        self._outcomes.handled(handled, repeated)
        for work in works:
            if isinstance(work, Undecodable):
                self._outcomes.dead(work.record, work.error, None, 0)
