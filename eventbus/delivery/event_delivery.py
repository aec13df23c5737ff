"""
Gives the log's events to a service's handlers, each effect once.

A slice      several records in one transaction: the checkpoint moves (which fences), the inbox drops repeats, handlers
             run in order, what cannot be decoded becomes dead letters; then it commits. Slices are as large as handlers
             are quick: a transaction is to last a tenth of a second, not minutes
A failure    rolls the slice back. The records before the failing one run again together; the failing one runs alone,
             each of its handlers in a transaction of its own, until it succeeds or its attempts are used up; then the
             rest goes on together. A neighbour is never failed by it, though its handler may run twice
Used up      a dead letter, with the record's raw bytes and the error, in the transaction that moves the checkpoint;
             later events of its key wait behind it, unless the handler says otherwise
Alone        a handler with transaction="each" has a transaction of its own for each event
Lanes        handlers with concurrency=N: see `lane_stream`
Not a failure
             a concurrency conflict is tried again at once, some times; an absent database is the consumer's to wait for
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Final

import anyio

from eventbus.database import Checkpoints, Database, HandlerStarts, LogPartition, Parking
from eventbus.delivery.batch import Batches
from eventbus.delivery.event_claim import EventClaim, Parkings
from eventbus.delivery.incoming import Incoming, Sorting, Undecodable, Work
from eventbus.delivery.lane_stream import LaneStream
from eventbus.delivery.outcomes import Outcomes
from eventbus.delivery.subscription import Feed, check_within
from eventbus.handlers.decorators import CONCURRENCY_MAX
from eventbus.handlers.invocation import Invocation
from eventbus.messages import Event
from eventbus.observability import Counters
from eventbus.serialization.types import MessageTypes
from eventbus.store import Transactions
from eventbus.transport.port import IncomingRecord

_log = logging.getLogger("eventbus.delivery")

_GENERATION = 0

_BATCH_MIN: Final = 500
_BATCH_MAX: Final = 2000
EVENTS_AHEAD_RECORDS: Final = 16_000
"""For its consumer: of twelve partitions (the default) more than a thousand each, which makes a batch worth having."""


class EventDelivery:
    """
    The `Subscription` of a service's event handlers: one for all of them, so that a key's order holds across them.

    handlers    by event, in definition order
    lanes       how many keys of a partition are handled at the same time; with 1, `apply` is what there is to call
    types       the application's events; those without a handler are passed over, others are counted as unknown
    topics      where the handled events are
    """

    def __init__(
        self,
        service: str,
        handlers: Mapping[type[Event], Sequence[Invocation]],
        types: MessageTypes,
        topics: Sequence[str],
        database: Database,
        transactions: Transactions,
        *,
        counters: Counters | None = None,
    ) -> None:
        self._service = service
        self._topics = tuple(topics)
        self._sorting = Sorting(handlers, types)
        self._starts = {call.definition.name: call.definition.options.start for of in handlers.values() for call in of}
        self._database = database
        self._outcomes = Outcomes(service, counters or Counters())
        definitions = [call.definition for of in handlers.values() for call in of]
        self._transactions = transactions
        self._batches = Batches(service, transactions, self._outcomes, definitions)
        self.lanes: Final = max((one.options.concurrency for one in definitions), default=1)
        # SQLite has one writer: more than one lane with a transaction would only wait for each other, and give up.
        self._turn = anyio.CapacityLimiter(1 if database.dialect == "sqlite" else CONCURRENCY_MAX)
        self._checkpoints = Checkpoints()
        self._handler_starts = HandlerStarts()
        self._parking = Parking()
        self._skipped: dict[tuple[str, str], int] = {}

    @property
    def name(self) -> str:
        return self._service

    @property
    def group_id(self) -> str:
        return self._service

    @property
    def topics(self) -> Sequence[str]:
        return self._topics

    def batch_size(self) -> int:
        """
        How many records are worth having at once: more where handlers are quick, as each transaction costs a
        millisecond; not so many that a stop would have to abandon the batch of slow ones.
        """
        return max(_BATCH_MIN, min(self._batches.size, _BATCH_MAX))

    async def claim(self, log: LogPartition, start: int, end: int) -> EventClaim:
        async with self._database.transaction() as connection:
            checkpoint = await self._checkpoints.claim(connection, self.name, _GENERATION, log)
            next_offset = start if checkpoint.next_offset is None else checkpoint.next_offset
            check_within(self.name, log, next_offset, start, end)
            first_offsets = await self._handler_starts.read(connection, self.name, log)
            new = {
                handler: max(end, next_offset) if begins == "now" else next_offset
                for handler, begins in self._starts.items()
                if handler not in first_offsets
            }
            await self._handler_starts.record(connection, self.name, log, new)
            is_any_parked = await self._parking.is_any(connection, self.name, log.topic)
        for handler, first_offset in new.items():
            if (passed_over := first_offset - start) > 0:
                place = (handler, log.topic)
                self._skipped[place] = self._skipped.get(place, 0) + passed_over
        return EventClaim(checkpoint, next_offset, {**first_offsets, **new}, Parkings(is_any_parked))

    def claimed(self) -> None:
        """Every partition of an assignment has been claimed: says once what new handlers will not see."""
        skipped, self._skipped = self._skipped, {}
        for (handler, topic), count in skipped.items():
            _log.info("handler %s is new here: %d earlier records of %s are not for it", handler, count, topic)

    async def release(self, claim: EventClaim) -> None:
        """Nothing is held outside of transactions."""

    async def apply(self, claim: EventClaim, records: Sequence[IncomingRecord], next_offset: int) -> None:
        at = 0
        while at < len(records):
            part = records[at : at + self._batches.size]
            at += len(part)
            end = next_offset if at == len(records) else records[at].offset
            await self._batches.apply(claim, self._sort(claim, part), end)
        if claim.next_offset < next_offset:
            await self._batches.apply(claim, (), next_offset)

    async def stream(self, claim: EventClaim, feed: Feed) -> None:
        """With lanes: what *feed* has, until it has nothing more. Raises as `apply` does."""
        await LaneStream(self._batches, self._transactions, self._sort, self._turn, self.lanes, claim, feed).run()

    def _sort(self, claim: EventClaim, records: Sequence[IncomingRecord]) -> list[Work]:
        works: list[Work] = []
        for record in records:
            found = self._sorting.sort(record, claim.first_offsets)
            if isinstance(found, Incoming):
                if found.calls:
                    works.append(found)
            elif isinstance(found, Undecodable):
                works.append(found)
            elif found.type is not None:
                self._outcomes.skipped(found.type, record)
        return works
