"""
Handles what has been given up and is to be handled after all: dead letters that are due, and events that wait behind
one that is no more.

A letter     alone, in a transaction that takes it away with the effect; a failure is noted in it, and it is due again
             until the handler's attempts are used up. Then it waits until somebody asks for it again
A key        its waiting events in order, several in one transaction that holds the key; the one that takes the last of
             them away frees the key, and its next event is handled as it comes. One that fails becomes the dead letter
             behind which the others wait
A kill       leaves what was not committed as it was: due, or waiting

Any process of the service does this for any key, whoever owns its partition: the rows decide. It looks every second,
and at once when something was left to do.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import anyio

from eventbus.database import Database, DeadLetter, DeadLetters, LetterRetries, ParkedEvent, ParkedKey, Parking
from eventbus.delivery.backoff import Backoff, wait_before
from eventbus.delivery.event_claim import NOT_FAILURES
from eventbus.delivery.event_scope import handle
from eventbus.delivery.giving_up import GivingUp, NotHandled
from eventbus.delivery.incoming import Incoming, Sorting, Undecodable, dead_letter, failure_of, record_of
from eventbus.delivery.outcomes import Outcomes
from eventbus.delivery.wakeup import Wakeup
from eventbus.errors import ConcurrencyConflict, DatabaseUnavailable, UndecodableMessage
from eventbus.handlers.invocation import Invocation
from eventbus.handlers.registry import HandlerDefinition
from eventbus.messages import Event
from eventbus.observability import Counters, ParkingFigures, parking_figures
from eventbus.serialization.types import MessageTypes
from eventbus.store import Transaction, Transactions

_log = logging.getLogger("eventbus.delivery")

_POLL_SECONDS: Final = 1.0
_FIGURES_SECONDS: Final = 5.0
_AT_ONCE: Final = 4
_SEEN_MAX: Final = 100
_SLICE_EVENTS: Final = 100
_SLICE_SECONDS: Final = 0.1
_KEY_SECONDS: Final = 1.0
"""A key's share of one round: others are not to wait for its thousands."""


class _Failed(Exception):
    """A handler's failure on its way out of a key's transaction; *index* events before it went well."""

    def __init__(self, index: int, event: ParkedEvent, error: Exception) -> None:
        super().__init__(str(error))
        self.index = index
        self.event = event
        self.error = error


class Drain:
    """
    Of one service's event handlers.

    shutdown_seconds   how long `stop` waits for what is under way before it is abandoned
    """

    def __init__(
        self,
        service: str,
        handlers: Mapping[type[Event], Sequence[Invocation]],
        types: MessageTypes,
        database: Database,
        transactions: Transactions,
        *,
        counters: Counters | None = None,
        shutdown_seconds: float = 10.0,
    ) -> None:
        self._service = service
        self._sorting = Sorting(handlers, types)
        self._definitions = {call.definition.name: call.definition for of in handlers.values() for call in of}
        self._database = database
        self._transactions = transactions
        self._outcomes = Outcomes(service, counters or Counters())
        self._shutdown_seconds = shutdown_seconds
        self._dead_letters = DeadLetters()
        self._retries = LetterRetries()
        self._parking = Parking()
        self._giving_up = GivingUp(service)
        self._wakeup = Wakeup()
        self._limit = anyio.CapacityLimiter(_AT_ONCE)
        self._stopping = False
        self._scope = anyio.CancelScope()
        self._ended: anyio.Event | None = None

    async def run(self) -> None:
        """Drains until `stop`. Never raises."""
        self._ended = anyio.Event()
        pauses = Backoff(0.2, 5.0)
        told_at = 0.0
        try:
            with self._scope:
                while not self._stopping:
                    pause = _POLL_SECONDS
                    try:
                        if await self.once():
                            pause = 0.0
                        if time.monotonic() - told_at > _FIGURES_SECONDS:
                            told_at = time.monotonic()
                            await self._tell_figures()
                        pauses.reset()
                    except DatabaseUnavailable:
                        # Said by the consumers, which wait for the same.
                        pause = pauses.next()
                    except Exception:
                        _log.exception("%s: draining failed, trying again", self._service)
                        pause = pauses.next()
                    await self._wakeup.wait(pause)
        finally:
            parking_figures(self._service, None)
            self._ended.set()

    async def stop(self) -> None:
        """Ends `run`: what is under way is finished or, after `shutdown_seconds`, abandoned."""
        self._stopping = True
        self._wakeup.set()
        if self._ended is not None:
            with anyio.move_on_after(self._shutdown_seconds):
                await self._ended.wait()
            self._scope.cancel()
            await self._ended.wait()

    async def once(self) -> bool:
        """Handles what is due now; whether anything was. Raises DatabaseUnavailable."""
        now = self._transactions.clock.now()
        names = list(self._definitions)
        async with self._database.reading() as connection:
            letters = await self._retries.due(connection, self._service, names, now, _SEEN_MAX)
            keys = await self._parking.draining(connection, self._service, names, _SEEN_MAX)
        away: list[DatabaseUnavailable] = []
        done: list[bool] = []

        async def limited(work: Callable[[], Awaitable[bool]]) -> None:
            async with self._limit:
                if self._stopping or away:
                    return
                try:
                    done.append(await work())
                except DatabaseUnavailable as error:
                    away.append(error)

        async with anyio.create_task_group() as tasks:
            for letter_id in letters:
                tasks.start_soon(limited, lambda id=letter_id: self._try_letter(id, now))
            for key in keys:
                tasks.start_soon(limited, lambda key=key: self._drain_key(key))
        if away:
            raise away[0]
        return any(done)

    # Letters.

    async def _try_letter(self, letter_id: str, now: datetime) -> bool:
        """Whether there was something to do: False when another process has it."""
        conflicts = 0
        while True:
            letter: DeadLetter | None = None
            try:
                async with self._transactions.begin() as transaction:
                    letter = await self._retries.hold(transaction.connection, letter_id, now)
                    if letter is None:
                        return False
                    await self._handle_letter(transaction, letter, now)
                    await self._retries.remove(transaction.connection, [letter.id])
            except NOT_FAILURES:
                raise
            except Exception as error:
                if letter is None:
                    raise
                definition = self._definitions.get(letter.handler or "")
                if isinstance(error, ConcurrencyConflict) and conflicts < _conflicts_max(definition):
                    conflicts += 1
                    continue
                await self._note_failure(letter, definition, error)
                return True
            self._outcomes.retried(letter)
            return True

    async def _handle_letter(self, transaction: Transaction, letter: DeadLetter, now: datetime) -> None:
        record = record_of(letter)
        if letter.handler is not None:
            await self._handle(transaction, letter, letter.handler, letter.attempts + 1)
            return
        found = self._sorting.sort(record, {})
        if isinstance(found, Undecodable):
            raise found.error
        if not isinstance(found, Incoming):
            raise NotHandled(f"no handler of {self._service} takes {letter.type!r}: discard the letter, or add one")
        # It can be decoded by now: each of its handlers gets a letter of its own, which is due at once.
        await self._dead_letters.add(
            transaction.connection,
            [
                dead_letter(
                    self._service,
                    record,
                    UndecodableMessage(letter.error_message),
                    now,
                    handler=call.handler.name,
                    attempts=0,
                    retry_at=now,
                )
                for call in found.calls
            ],
        )

    async def _note_failure(self, letter: DeadLetter, definition: HandlerDefinition | None, error: Exception) -> None:
        now = self._transactions.clock.now()
        retry_at = _retry_at(definition, letter.tries + 1, error, now)
        async with self._transactions.begin() as transaction:
            noted = await self._retries.failed(transaction.connection, letter, failure_of(error, now, retry_at))
            if (
                noted
                and retry_at is None
                and definition is not None
                and letter.attempts + 1 == definition.options.attempts
            ):
                await self._giving_up.publish_copy(
                    transaction, record_of(letter), definition, error, letter.attempts + 1
                )
        if noted:
            self._outcomes.failed_again(letter, error, retry_at)

    # Keys.

    async def _drain_key(self, key: ParkedKey) -> bool:
        """Whether there was something to do: False when another process has it."""
        deadline = time.monotonic() + _KEY_SECONDS
        limit, suspect, conflicts, drained = _SLICE_EVENTS, False, 0, 0
        definition = self._definitions[key.handler]
        while not self._stopping:
            try:
                handled = await self._drain_slice(key, limit)
            except NOT_FAILURES:
                raise
            except _Failed as failed:
                if failed.index:
                    limit, suspect = failed.index, True
                    continue
                if isinstance(failed.error, ConcurrencyConflict) and conflicts < definition.options.retries_on_conflict:
                    conflicts += 1
                    continue
                await self._give_up(key, definition, failed.event, failed.error)
                return True
            except Exception as error:
                # At the flush or the commit, where no event can be told to be the cause: one by one.
                if limit > 1:
                    limit = 1
                    continue
                if isinstance(error, ConcurrencyConflict) and conflicts < definition.options.retries_on_conflict:
                    conflicts += 1
                    continue
                await self._give_up(key, definition, None, error)
                return True
            if handled is None:
                return drained > 0
            drained += handled
            conflicts = 0
            limit, suspect = (1, False) if suspect else (min(2 * limit, _SLICE_EVENTS), False)
            if time.monotonic() > deadline:
                return True
        return True

    async def _drain_slice(self, key: ParkedKey, limit: int) -> int | None:
        """How many of the key's first *limit* events were handled; None: there is nothing (more) to do here."""
        begun = time.monotonic()
        done: list[ParkedEvent] = []
        async with self._transactions.begin() as transaction:
            connection = transaction.connection
            if not await self._parking.hold(connection, key):
                return None
            events = await self._parking.waiting(connection, key, limit)
            for event in events:
                try:
                    await self._handle(transaction, event, key.handler, 1)
                except NOT_FAILURES:
                    raise
                except Exception as error:
                    raise _Failed(len(done), event, error) from error
                done.append(event)
                if time.monotonic() - begun > _SLICE_SECONDS:
                    break
            await self._parking.remove(connection, [event.sequence for event in done])
            if len(done) == len(events) < limit:
                freed = await self._parking.free(connection, key)
            else:
                freed = False
        self._outcomes.drained(key, done, freed=freed)
        return None if freed and not done else len(done)

    async def _give_up(
        self, key: ParkedKey, definition: HandlerDefinition, failed: ParkedEvent | None, error: Exception
    ) -> None:
        """The first waiting event (*failed*, where that is known) becomes the letter behind which the others wait."""
        async with self._transactions.begin() as transaction:
            connection = transaction.connection
            first = await self._parking.waiting(connection, key, 1) if await self._parking.hold(connection, key) else []
            if not first or (failed is not None and first[0].sequence != failed.sequence):
                return
            record = record_of(first[0])
            retry_at = _retry_at(definition, 1, error, transaction.now())
            letter = dead_letter(
                self._service,
                record,
                error,
                transaction.now(),
                handler=key.handler,
                attempts=1,
                tries=1,
                retry_at=retry_at,
            )
            await self._parking.remove(connection, [first[0].sequence])
            await self._giving_up.keep(transaction, letter, definition)
            if retry_at is None:
                await self._giving_up.publish_copy(transaction, record, definition, error, 1)
        self._outcomes.failed_again(letter, error, retry_at)

    async def _handle(
        self, transaction: Transaction, kept: DeadLetter | ParkedEvent, handler: str, attempt: int
    ) -> None:
        found = self._sorting.for_handler(record_of(kept), handler)
        if isinstance(found, Undecodable):
            raise found.error
        if not isinstance(found, tuple):
            raise NotHandled(f"{handler} does not take {kept.type!r} any more: discard the letter, or bring it back")
        incoming, call = found
        await handle(transaction, incoming, call, attempt)

    async def _tell_figures(self) -> None:
        async with self._database.reading() as connection:
            found = await self._parking.status(connection, self._service)
        parking_figures(self._service, ParkingFigures(found.keys, found.events, found.oldest_age_seconds))


def _conflicts_max(definition: HandlerDefinition | None) -> int:
    return 0 if definition is None else definition.options.retries_on_conflict


def _retry_at(definition: HandlerDefinition | None, tries: int, error: Exception, now: datetime) -> datetime | None:
    """When to try again by itself; None: not before somebody asks for it."""
    if definition is None or isinstance(error, UndecodableMessage | NotHandled):
        return None
    options = definition.options
    if tries >= options.attempts:
        return None
    return now + timedelta(seconds=wait_before(tries, options.backoff_seconds, options.backoff_seconds_max))
