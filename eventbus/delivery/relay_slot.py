"""
One slot of the outbox: the rounds that bring its rows into the log while its lease is held.

Taking over  lease → take the slot's transactional id over in the log → make sure that the lease is still held. Whoever
             takes the lease after that takes the id after that too: this producer is fenced then, and publishes nothing
Fenced       make sure that the lease is held before taking the id over again: one that wakes up too late is not to
             fence its successor in turn
One round    claim rows in order → publish them as one transaction of the log → delete those that are committed, leaving
             their positions for receipts, in one transaction of the database that the lease's epoch fences
Again        a relay that dies between the log's commit and the delete leaves the rows to the next one, which publishes
             them again under the same ids: consumers drop repeats by these
Waking       by the relay, when it has seen rows of this slot; while a round is under way, after each commit
Pace         what was committed during a round waits as long again as the round has taken: the next one carries more of
             it, and those who commit have the database for half of the time
"""

import logging
import time
from collections.abc import Sequence

import anyio

from eventbus.database import BlockedRow, OutboxRow, PublishedRow, SlotLease
from eventbus.delivery.backoff import Backoff
from eventbus.delivery.blocked_keys import BlockedKeys, Key, key_of
from eventbus.delivery.relay_parts import RelayParts
from eventbus.delivery.wakeup import Wakeup
from eventbus.errors import BrokerUnavailable, DatabaseUnavailable, LeaseLost, PublishRefused
from eventbus.observability import EVENTS_PUBLISHED, EVENTS_REFUSED, sent
from eventbus.transport.port import (
    OutgoingRecord,
    ProducerFenced,
    Published,
    PublishOutcome,
    TransactionalProducer,
    TransactionsRefused,
)

_log = logging.getLogger("eventbus.delivery")

BATCH_MAX = 1000
_SUSPECTS_MAX = 50
_RELEASE_SECONDS = 2
_PACE_SECONDS_MAX = 0.025


class RelaySlot:
    """One slot that this process has leased, until it is told to stop or loses it."""

    def __init__(self, lease: SlotLease, parts: RelayParts) -> None:
        self.number = lease.slot
        self.lease: SlotLease | None = lease
        self.woken = Wakeup()
        self.stopping = False
        self.is_idle = False
        self.published = 0
        self.blocked = BlockedKeys()
        self.waiting_for: str | None = None
        self._parts = parts
        self._shown: tuple[BlockedRow, ...] = ()
        self._scope = anyio.CancelScope()

    def stop(self) -> None:
        """Ends `run` after the batch in flight."""
        self.stopping = True
        self.woken.set()

    def abandon(self) -> None:
        """Gives up a batch in flight: its rows stay, for the next relay to publish again."""
        self.stopping = True
        self._scope.cancel()

    def lose(self) -> None:
        """Another process holds the slot: what is in flight is given up."""
        _log.warning("relay: slot %d was taken over by another process; what is in flight is given up", self.number)
        self.lease = None
        self.abandon()

    async def run(self) -> None:
        """Publishes until the slot is given up, then releases it."""
        producer = self._parts.transport.transactional_producer(self._parts.transactional_id(self.number))
        try:
            with self._scope:
                await self._rounds(producer)
        finally:
            with anyio.CancelScope(shield=True):
                await producer.aclose()
                await self._release()

    async def _release(self) -> None:
        lease, self.lease = self.lease, None
        if lease is None:
            return
        try:
            with anyio.fail_after(_RELEASE_SECONDS):
                async with self._parts.database.transaction() as connection:
                    await self._parts.leases.release(connection, lease)
        except (DatabaseUnavailable, TimeoutError):
            _log.info("relay: slot %d could not be released; its lease ends by itself", self.number)

    async def _rounds(self, producer: TransactionalProducer) -> None:
        pauses = Backoff(0.1, 5.0)
        is_taken = is_fenced = False
        while not self.stopping:
            try:
                if is_fenced:
                    await self._write_blocked(())
                    is_fenced = False
                if not is_taken:
                    await self._take_over(producer)
                    is_taken = True
                begun = time.monotonic()
                more = await self._round(producer)
            except (DatabaseUnavailable, BrokerUnavailable) as error:
                away = "database" if isinstance(error, DatabaseUnavailable) else "broker"
                self._wait_for(f"the {away}: {error}")
                await self.woken.wait(pauses.next())
                continue
            except ProducerFenced as error:
                # By whoever holds the slot now; or the log has lost or timed out what it knew of this producer.
                is_taken, is_fenced = False, True
                _log.warning("relay: slot %d: %s", self.number, error)
                await self.woken.wait(pauses.next())
                continue
            except TransactionsRefused as error:
                self._wait_for(f"the log's permission: {error}")
                await self.woken.wait(pauses.next())
                continue
            except LeaseLost as error:
                _log.warning("relay: %s", error)
                self.lease = None
                return
            except Exception:
                _log.exception("relay: a round failed, trying again")
                await self.woken.wait(pauses.next())
                continue
            pauses.reset()
            self._wait_for(None)
            if not more and self.woken.is_set:
                await anyio.sleep(min(time.monotonic() - begun, _PACE_SECONDS_MAX))
            if not more:
                self.is_idle = True
                await self.woken.wait()
                self.is_idle = False

    async def _take_over(self, producer: TransactionalProducer) -> None:
        """Raises LeaseLost when somebody has taken the slot while the log was asked."""
        await producer.take_over()
        self.blocked.clear()
        self._shown = ()
        await self._write_blocked(())

    def _held(self) -> SlotLease:
        if self.lease is None:
            raise LeaseLost(f"slot {self.number} of the outbox was taken over")
        return self.lease

    async def _write_blocked(self, rows: Sequence[BlockedRow]) -> None:
        parts = self._parts
        held = self._held()
        async with parts.database.transaction() as connection:
            lease = await parts.leases.renew(connection, held, parts.lease_seconds)
            if lease is None:
                raise LeaseLost(
                    f"slot {self.number} of the outbox: held with lease epoch {held.lease_epoch}, taken over"
                )
            await parts.blocked_rows.replace(connection, self.number, rows)
        self.lease = lease

    async def _round(self, producer: TransactionalProducer) -> bool:
        """One batch; True when more may be waiting."""
        parts = self._parts
        # Blocked rows stay in front: they are read again each time, and must not be all that is read.
        limit = BATCH_MAX + self.blocked.held
        rows = await parts.outbox.claim(parts.database, self.number, limit)
        if self._shown:
            async with parts.database.reading() as connection:
                self.blocked.try_now(await parts.blocked_rows.retries(connection, self.number))
        ready = self.blocked.ready(rows)
        done: list[PublishedRow] = []
        unavailable: BrokerUnavailable | None = None
        if ready:
            begun = time.monotonic()
            outcomes = await producer.publish([_outgoing(row) for row in ready])
            if any(isinstance(outcome, PublishRefused) for outcome in outcomes):
                outcomes = await self._singly(producer, ready, outcomes)
            done = [
                PublishedRow(row.sequence, row.id, outcome.topic, outcome.partition, outcome.offset)
                for row, outcome in zip(ready, outcomes, strict=True)
                if isinstance(outcome, Published)
            ]
            await self._delete(done)
            self._count(done, time.monotonic() - begun)
            unavailable = next((outcome for outcome in outcomes if isinstance(outcome, BrokerUnavailable)), None)
        if (blocked := self.blocked.rows()) != self._shown:
            await self._write_blocked(blocked)
            self._shown = blocked
        if unavailable is not None:
            raise unavailable
        return len(rows) == limit and bool(done)

    async def _delete(self, done: Sequence[PublishedRow]) -> None:
        """Deletes what is in the log; while the database is away it tries again, since publishing again is worse."""
        pauses = Backoff(0.1, 5.0)
        while done:
            lease = self._held()
            try:
                async with self._parts.database.transaction() as connection:
                    await self._parts.outbox.delete(connection, self.number, lease.lease_epoch, done)
            except DatabaseUnavailable as error:
                self._wait_for(f"the database: {error}")
                if self.stopping:
                    raise
                await anyio.sleep(pauses.next())
            else:
                return

    async def _singly(
        self, producer: TransactionalProducer, rows: Sequence[OutboxRow], outcomes: Sequence[PublishOutcome]
    ) -> list[PublishOutcome]:
        """
        Finds out which rows the log refuses: it refuses a request as a whole, also for one record in it.

        The first refused row of each key is sent alone; the key is blocked when that is refused again.
        """
        settled = list(outcomes)
        tried: set[Key] = set()
        for at, (row, outcome) in enumerate(zip(rows, outcomes, strict=True)):
            key = key_of(row)
            if not isinstance(outcome, PublishRefused) or key in tried or len(tried) == _SUSPECTS_MAX:
                continue
            tried.add(key)
            settled[at] = (await producer.publish([_outgoing(row)]))[0]
            if self.blocked.judge(row, settled[at]):
                self._parts.counters.add(EVENTS_REFUSED, topic=row.topic)
        for at, outcome in enumerate(settled):
            if isinstance(outcome, Published):
                self.blocked.judge(rows[at], outcome)
        return settled

    def _count(self, done: Sequence[PublishedRow], seconds: float) -> None:
        self.published += len(done)
        topics: dict[str, int] = {}
        for row in done:
            topics[row.topic] = topics.get(row.topic, 0) + 1
        for topic, count in topics.items():
            self._parts.counters.add(EVENTS_PUBLISHED, count, topic=topic)
            sent(topic, count, seconds)

    def _wait_for(self, what: str | None) -> None:
        if what is not None and self.waiting_for is None:
            _log.warning("relay: slot %d: waiting for %s", self.number, what)
        elif what is None and self.waiting_for is not None:
            _log.info("relay: slot %d: going on", self.number)
        self.waiting_for = what


def _outgoing(row: OutboxRow) -> OutgoingRecord:
    key = None if row.key is None else row.key.encode()
    return OutgoingRecord(row.topic, key, row.payload, row.headers)
