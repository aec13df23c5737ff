"""
Gives the log's events to a service's handlers, each effect once.

A slice      several records in one transaction: the checkpoint moves (which fences), the inbox drops repeats, handlers
             run in order, what cannot be decoded becomes dead letters; then it commits. Slices are as large as handlers
             are quick: a transaction is to last a tenth of a second, not minutes
A failure    rolls the slice back. The records before the failing one run again together; the failing one runs alone,
             each of its handlers in a transaction of its own, until it succeeds or its attempts are used up; then the
             rest goes on together. A neighbour is never failed by it, though its handler may run twice
Used up      a dead letter, with the record's raw bytes and the error, in the transaction that moves the checkpoint
Not a failure
             a concurrency conflict is tried again at once, some times; an absent database is the consumer's to wait for
"""

import logging
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import anyio

from eventbus.database import Checkpoint, Checkpoints, Database, DeadLetters, HandlerStarts, Inbox, LogPartition
from eventbus.delivery.backoff import Backoff
from eventbus.delivery.incoming import Call, Incoming, Sorting, Undecodable, Unhandled, dead_letter
from eventbus.delivery.subscription import check_within
from eventbus.errors import CheckpointFenced, ConcurrencyConflict, DatabaseUnavailable, ForeignLog
from eventbus.handlers.invocation import Invocation
from eventbus.messages import Event
from eventbus.observability import (
    EVENTS_DEAD_LETTERED,
    EVENTS_HANDLED,
    EVENTS_REPEATED,
    EVENTS_RETRIED,
    EVENTS_SKIPPED,
    Counters,
    process_span,
)
from eventbus.serialization.types import MessageTypes
from eventbus.store import Transactions
from eventbus.transport.port import IncomingRecord

_log = logging.getLogger("eventbus.delivery")

_GENERATION = 0
_SLICE_SECONDS = 0.1
_SLICE_FIRST = 50
_CONFLICTS_OF_A_SLICE = 2
_UNKNOWN_TYPES_MAX = 1000
_LINKS_MAX = 16

_PASS = (DatabaseUnavailable, CheckpointFenced, ForeignLog)


@dataclass(slots=True)
class EventClaim:
    """A partition claimed for the service's handlers; *first_offsets*: where each handler's part of it begins."""

    checkpoint: Checkpoint
    next_offset: int
    first_offsets: Mapping[str, int]

    @property
    def log(self) -> LogPartition:
        return self.checkpoint.log

    def move(self, checkpoint: Checkpoint, next_offset: int) -> None:
        self.checkpoint = checkpoint
        self.next_offset = next_offset


_Work = Incoming | Undecodable


class _Failed(Exception):
    """A handler's failure on its way out of the slice's transaction."""

    def __init__(self, index: int, call: Call, error: Exception) -> None:
        super().__init__(str(error))
        self.index = index
        self.call = call
        self.error = error


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
        self._transactions = transactions
        self._counters = counters or Counters()
        self._inbox = Inbox()
        self._checkpoints = Checkpoints()
        self._dead_letters = DeadLetters()
        self._handler_starts = HandlerStarts()
        self._unknown: set[str] = set()
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
        for handler, first_offset in new.items():
            if (passed_over := first_offset - start) > 0:
                place = (handler, log.topic)
                self._skipped[place] = self._skipped.get(place, 0) + passed_over
        return EventClaim(checkpoint, next_offset, {**first_offsets, **new})

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
            await self._together(claim, (), next_offset)

    def _adapt(self, records: int, seconds: float) -> None:
        fitting = int(records * _SLICE_SECONDS / max(seconds, 1e-6))
        self._slice = max(1, min(fitting, self._slice * 4, 10_000))

    async def _apply_slice(self, claim: EventClaim, records: Sequence[IncomingRecord], next_offset: int) -> None:
        works = self._sort(claim, records)
        limit = largest = max(1, len(works))
        suspect: tuple[int, _Failed | None] | None = None
        conflicts = 0
        while works:
            if suspect is not None and suspect[0] == 0:
                await self._alone(claim, works[0], self._end(works, 1, next_offset), suspect[1])
                works, suspect, limit, conflicts = works[1:], None, largest, 0
                continue
            end = self._end(works, limit, next_offset)
            try:
                await self._together(claim, works[:limit], end)
            except _PASS:
                raise
            except ConcurrencyConflict:
                conflicts += 1
                if conflicts > _CONFLICTS_OF_A_SLICE:
                    limit, suspect = 1, (0, None)
            except _Failed as failed:
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
            await self._together(claim, (), next_offset)

    @staticmethod
    def _end(works: Sequence[_Work], count: int, next_offset: int) -> int:
        """The checkpoint behind the first *count* works: what lies up to the next one is passed over."""
        return next_offset if count >= len(works) else works[count].record.offset

    def _sort(self, claim: EventClaim, records: Sequence[IncomingRecord]) -> list[_Work]:
        works: list[_Work] = []
        for record in records:
            found = self._sorting.sort(record, claim.first_offsets)
            if isinstance(found, Unhandled):
                if found.type is not None:
                    self._skip(found.type, record)
            elif isinstance(found, Undecodable) or found.calls:
                works.append(found)
        return works

    def _skip(self, kind: str, record: IncomingRecord) -> None:
        if kind not in self._unknown:
            if len(self._unknown) >= _UNKNOWN_TYPES_MAX:
                self._counters.add(EVENTS_SKIPPED, type="(others)")
                return
            self._unknown.add(kind)
            _log.info(
                "events of type %r are skipped, nothing here knows them (first: %s-%d offset %d)",
                kind,
                record.topic,
                record.partition,
                record.offset,
            )
        self._counters.add(EVENTS_SKIPPED, type=kind)

    async def _together(self, claim: EventClaim, works: Sequence[_Work], next_offset: int) -> None:
        """All works in one transaction. Raises _Failed for a handler's failure, after rolling back."""
        handled: dict[str, int] = {}
        repeated = 0
        letters = [
            dead_letter(self.name, work.record, work.error, handler=None, attempts=0)
            for work in works
            if isinstance(work, Undecodable)
        ]
        ids = [call.inbox_id for work in works if isinstance(work, Incoming) for call in work.calls]
        with self._span(claim, works):
            async with self._transactions.begin() as transaction:
                connection = transaction.connection
                checkpoint = await self._checkpoints.advance(connection, claim.checkpoint, next_offset)
                admitted = await self._inbox.admit(connection, self.name, ids)
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
                        except _PASS:
                            raise
                        except Exception as error:
                            raise _Failed(index, call, error) from error
                    handled[work.envelope.type] = handled.get(work.envelope.type, 0) + 1
        claim.move(checkpoint, next_offset)
        for kind, count in handled.items():
            self._counters.add(EVENTS_HANDLED, count, type=kind)
        if repeated:
            self._counters.add(EVENTS_REPEATED, repeated)
        for work in works:
            if isinstance(work, Undecodable):
                self._say_dead(work.record, work.error, None, 0)

    async def _alone(self, claim: EventClaim, work: _Work, next_offset: int, failed: _Failed | None) -> None:
        """One record, each of its handlers in a transaction of its own."""
        if isinstance(work, Undecodable):
            await self._together(claim, [work], next_offset)
            return
        for number, call in enumerate(work.calls, start=1):
            behind = next_offset if number == len(work.calls) else max(claim.next_offset, work.record.offset)
            error = failed.error if failed is not None and failed.call.inbox_id == call.inbox_id else None
            await self._until_settled(claim, work, call, behind, error)

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
                self._counters.add(EVENTS_RETRIED, handler=call.invocation.definition.name)
                pause = pauses.next()
                self._say_retry(work, call, error, attempt, pause)
                await anyio.sleep(pause)
            attempt += 1
            try:
                await self._attempt(claim, work, call, next_offset, attempt)
            except _PASS:
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
            is_new = bool(await self._inbox.admit(transaction.connection, self.name, [call.inbox_id]))
            if is_new:
                unit = transaction.unit_of_work(work.metadata(attempt))
                with self._span(claim, [work]):
                    await call.invocation(work.event, unit)
                    await unit.complete()
        claim.move(checkpoint, next_offset)
        if is_new:
            self._counters.add(EVENTS_HANDLED, type=work.envelope.type)
        else:
            self._counters.add(EVENTS_REPEATED)

    async def _bury(
        self, claim: EventClaim, work: Incoming, call: Call, next_offset: int, error: Exception, attempts: int
    ) -> None:
        handler = call.invocation.definition.name
        letter = dead_letter(self.name, work.record, error, handler=handler, attempts=attempts)
        async with self._transactions.begin() as transaction:
            checkpoint = await self._checkpoints.advance(transaction.connection, claim.checkpoint, next_offset)
            # With a row in the inbox a repeat of the message is dropped, and not tried all over again.
            if await self._inbox.admit(transaction.connection, self.name, [call.inbox_id]):
                await self._dead_letters.add(transaction.connection, [letter])
        claim.move(checkpoint, next_offset)
        self._say_dead(work.record, error, handler, attempts)

    def _say_retry(self, work: Incoming, call: Call, error: Exception, attempt: int, pause: float) -> None:
        _log.warning(
            "handler %s failed at %s %s (%s-%d offset %d), attempt %d of %d, again in %.1f s: %s: %s",
            call.invocation.definition.name,
            work.envelope.type,
            work.envelope.id,
            work.record.topic,
            work.record.partition,
            work.record.offset,
            attempt,
            call.invocation.definition.options.attempts,
            pause,
            type(error).__name__,
            error,
        )

    def _say_dead(self, record: IncomingRecord, error: Exception, handler: str | None, attempts: int) -> None:
        self._counters.add(EVENTS_DEAD_LETTERED, handler=handler or "(undecodable)")
        _log.error(
            "%s-%d offset %d went to the dead letters: %s: %s: %s",
            record.topic,
            record.partition,
            record.offset,
            f"handler {handler} failed {attempts} times" if handler else "it cannot be decoded",
            type(error).__name__,
            error,
        )

    def _span(self, claim: EventClaim, works: Sequence[_Work]) -> AbstractContextManager[object]:
        creators = dict.fromkeys(
            work.envelope.traceparent for work in works if isinstance(work, Incoming) and work.envelope.traceparent
        )
        first = works[0].record.offset if works else claim.next_offset
        links = tuple(creator for creator, _ in zip(creators, range(_LINKS_MAX), strict=False) if creator)
        return process_span(claim.log.topic, self.group_id, claim.log.partition, first, len(works), links)
