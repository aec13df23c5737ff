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
Not a failure
             a concurrency conflict is tried again at once, some times; an absent database is the consumer's to wait for
"""

import logging
import time
from collections.abc import Mapping, Sequence

from eventbus.database import Checkpoints, Database, HandlerStarts, LogPartition, Parking
from eventbus.delivery.attempts import Attempts
from eventbus.delivery.event_claim import NOT_FAILURES, EventClaim
from eventbus.delivery.incoming import Sorting, Undecodable, Unhandled, Work
from eventbus.delivery.outcomes import Outcomes
from eventbus.delivery.slice import Failed, Slices
from eventbus.delivery.subscription import check_within
from eventbus.errors import ConcurrencyConflict
from eventbus.handlers.invocation import Invocation
from eventbus.messages import Event
from eventbus.observability import Counters
from eventbus.serialization.types import MessageTypes
from eventbus.store import Transactions
from eventbus.transport.port import IncomingRecord

_log = logging.getLogger("eventbus.delivery")

_GENERATION = 0
_SLICE_SECONDS = 0.1
_SLICE_FIRST = 50
_CONFLICTS_OF_A_SLICE = 2


class EventDelivery:
    """
    The `Subscription` of a service's event handlers: one for all of them, so that a key's order holds across them.

    handlers    by event, in definition order
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
        self._slices = Slices(service, transactions, self._outcomes)
        self._attempts = Attempts(service, transactions, self._outcomes)
        self._checkpoints = Checkpoints()
        self._handler_starts = HandlerStarts()
        self._parking = Parking()
        self._skipped: dict[tuple[str, str], int] = {}
        self._slice = _SLICE_FIRST

    @property
    def name(self) -> str:
        return self._service

    @property
    def group_id(self) -> str:
        return self._service

    @property
    def topics(self) -> Sequence[str]:
        return self._topics

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
        return EventClaim(checkpoint, next_offset, {**first_offsets, **new}, is_any_parked)

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
            part = records[at : at + self._slice]
            at += len(part)
            begun = time.monotonic()
            await self._apply_slice(claim, part, next_offset if at == len(records) else records[at].offset)
            self._adapt(len(part), time.monotonic() - begun)
        if claim.next_offset < next_offset:
            await self._slices.apply(claim, (), next_offset)

    def _adapt(self, records: int, seconds: float) -> None:
        fitting = int(records * _SLICE_SECONDS / max(seconds, 1e-6))
        self._slice = max(1, min(fitting, self._slice * 4, 10_000))

    async def _apply_slice(self, claim: EventClaim, records: Sequence[IncomingRecord], next_offset: int) -> None:
        works = self._sort(claim, records)
        limit = largest = max(1, len(works))
        suspect: tuple[int, Failed | None] | None = None
        conflicts = 0
        while works:
            if suspect is not None and suspect[0] == 0:
                await self._alone(claim, works[0], self._end(works, 1, next_offset), suspect[1])
                works, suspect, limit, conflicts = works[1:], None, largest, 0
                continue
            end = self._end(works, limit, next_offset)
            try:
                await self._slices.apply(claim, works[:limit], end)
            except NOT_FAILURES:
                raise
            except ConcurrencyConflict:
                conflicts += 1
                if conflicts > _CONFLICTS_OF_A_SLICE:
                    limit, suspect = 1, (0, None)
            except Failed as failed:
                if not isinstance(failed.error, ConcurrencyConflict):
                    limit, suspect = failed.index, (failed.index, failed)
                elif conflicts < _CONFLICTS_OF_A_SLICE:
                    conflicts += 1
                else:
                    limit, suspect = failed.index, (failed.index, None)
            except Exception:
                # At the flush or the commit, where no record can be told to be the cause: one by one.
                if limit == 1:
                    suspect = (0, None)
                limit = largest = 1
            else:
                works = works[limit:]
                suspect = None if suspect is None else (suspect[0] - limit, suspect[1])
                limit = largest if suspect is None else min(largest, suspect[0])
        if claim.next_offset < next_offset:
            await self._slices.apply(claim, (), next_offset)

    @staticmethod
    def _end(works: Sequence[Work], count: int, next_offset: int) -> int:
        """The checkpoint behind the first *count* works: what lies up to the next one is passed over."""
        return next_offset if count >= len(works) else works[count].record.offset

    def _sort(self, claim: EventClaim, records: Sequence[IncomingRecord]) -> list[Work]:
        works: list[Work] = []
        for record in records:
            found = self._sorting.sort(record, claim.first_offsets)
            if isinstance(found, Unhandled):
                if found.type is not None:
                    self._outcomes.skipped(found.type, record)
            elif isinstance(found, Undecodable) or found.calls:
                works.append(found)
        return works

    async def _alone(self, claim: EventClaim, work: Work, next_offset: int, failed: Failed | None) -> None:
        if isinstance(work, Undecodable):
            await self._slices.apply(claim, [work], next_offset)
        else:
            call, error = (failed.call, failed.error) if failed is not None else (None, None)
            await self._attempts.settle(claim, work, next_offset, call, error)
