"""
One slot of the outbox: its lease, and the rounds that bring its rows into the log while it is held.

One round   claim rows in order → publish them as one batch → delete those that the log has, leaving their positions
            for receipts, in one transaction that the slot's lease fences
Again       a relay that dies between the log's answer and the delete leaves the rows to the next one, which publishes
            them again under the same ids: consumers drop repeats by these
Waking      by the relay's `wake` after each commit of this process; for those of others, by a short poll
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio
from sqlalchemy.exc import SQLAlchemyError

from eventbus.database import Database, Outbox, OutboxRow, PublishedRow, SlotLease, SlotLeases
from eventbus.delivery.backoff import Backoff
from eventbus.delivery.blocked_keys import BlockedKeys, Key, key_of
from eventbus.delivery.wakeup import Wakeup
from eventbus.errors import BrokerUnavailable, DatabaseUnavailable, LeaseLost, PublishRefused
from eventbus.observability import EVENTS_PUBLISHED, EVENTS_REFUSED, Counters, sent
from eventbus.transport.port import OutgoingRecord, Published, PublishOutcome, RecordProducer

_log = logging.getLogger("eventbus.delivery")

BATCH_MAX = 1000
_SUSPECTS_MAX = 50
_POSITIONS_KEPT = timedelta(days=1)
_PRUNE_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class RelayParts:
    """What every slot of one relay uses."""

    database: Database
    outbox: Outbox
    leases: SlotLeases
    holder: str
    counters: Counters
    lease_seconds: float
    poll_seconds: float


class RelaySlot:
    """One slot: its lease, and the rounds while it is held."""

    def __init__(self, number: int, parts: RelayParts) -> None:
        self.number = number
        self.woken = Wakeup()
        self.stopping = False
        self.lease: SlotLease | None = None
        self.published = 0
        self.blocked = BlockedKeys()
        self.waiting_for: str | None = None
        self._parts = parts
        self._scope: anyio.CancelScope | None = None

    def abandon(self) -> None:
        """Gives up a batch in flight: its rows stay, for the next relay to publish again."""
        if self._scope is not None:
            self._scope.cancel()

    async def run(self, producer: RecordProducer) -> None:
        while not self.stopping:
            lease = await self._acquire()
            if lease is None:
                await self.woken.wait(self._parts.lease_seconds / 10)
                continue
            self.lease = lease
            try:
                async with anyio.create_task_group() as tasks:
                    self._scope = tasks.cancel_scope
                    tasks.start_soon(self._renew, tasks.cancel_scope)
                    tasks.start_soon(self._prune)
                    await self._rounds(producer, lease)
                    tasks.cancel_scope.cancel()
            finally:
                self._scope = None
                with anyio.CancelScope(shield=True):
                    await self._release()

    async def _acquire(self) -> SlotLease | None:
        parts = self._parts
        try:
            async with parts.database.transaction() as connection:
                lease = await parts.leases.acquire(connection, self.number, parts.holder, parts.lease_seconds)
        except DatabaseUnavailable as error:
            self._wait_for(f"the database: {error}")
            return None
        except Exception as error:
            _log.exception("relay: slot %d could not be leased, trying again", self.number)
            self._wait_for(f"the lease: {error}")
            return None
        self._wait_for(None)
        return lease

    async def _renew(self, scope: anyio.CancelScope) -> None:
        """Keeps the lease while rounds go on, also while one waits for the broker; ends them when it is lost."""
        parts = self._parts
        while self.lease is not None:
            await anyio.sleep(parts.lease_seconds / 3)
            try:
                async with parts.database.transaction() as connection:
                    self.lease = await parts.leases.renew(connection, self.lease, parts.lease_seconds)
            except (DatabaseUnavailable, SQLAlchemyError):
                # Said by the rounds. Whether the lease is still ours is found out by the next renewal or delete.
                continue
        _log.warning("relay: slot %d was taken over by another process; what is in flight is given up", self.number)
        scope.cancel()

    async def _prune(self) -> None:
        """Forgets positions that nobody waits for any more."""
        parts = self._parts
        while self.number == 0:
            try:
                async with parts.database.transaction() as connection:
                    await parts.outbox.prune(connection, datetime.now(UTC) - _POSITIONS_KEPT)
            except DatabaseUnavailable:
                # Said by the rounds; the next hour will do.
                pass
            except Exception:
                _log.exception("relay: old positions could not be forgotten")
            await anyio.sleep(_PRUNE_SECONDS)

    async def _release(self) -> None:
        lease, self.lease = self.lease, None
        self.blocked.clear()
        if lease is None:
            return
        try:
            with anyio.fail_after(2):
                async with self._parts.database.transaction() as connection:
                    await self._parts.leases.release(connection, lease)
        except (DatabaseUnavailable, TimeoutError):
            _log.info("relay: slot %d could not be released; its lease ends by itself", self.number)

    async def _rounds(self, producer: RecordProducer, lease: SlotLease) -> None:
        pauses = Backoff(0.1, 5.0)
        while not self.stopping:
            try:
                more = await self._round(producer, lease)
            except (DatabaseUnavailable, BrokerUnavailable) as error:
                away = "database" if isinstance(error, DatabaseUnavailable) else "broker"
                self._wait_for(f"the {away}: {error}")
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
            if not more:
                await self.woken.wait(self._parts.poll_seconds)

    async def _round(self, producer: RecordProducer, lease: SlotLease) -> bool:
        """One batch; True when more may be waiting."""
        parts = self._parts
        # Blocked rows stay in front: they are read again each time, and must not be all that is read.
        limit = BATCH_MAX + self.blocked.held
        async with parts.database.reading() as connection:
            rows = await parts.outbox.claim(connection, self.number, limit)
        ready = self.blocked.ready(rows)
        if not ready:
            return False
        begun = time.monotonic()
        outcomes = await producer.publish([_outgoing(row) for row in ready])
        if any(isinstance(outcome, PublishRefused) for outcome in outcomes):
            outcomes = await self._singly(producer, ready, outcomes)
        done = [
            PublishedRow(row.sequence, row.id, outcome.topic, outcome.partition, outcome.offset)
            for row, outcome in zip(ready, outcomes, strict=True)
            if isinstance(outcome, Published)
        ]
        await self._delete(lease, done)
        self._count(done, time.monotonic() - begun)
        unavailable = next((outcome for outcome in outcomes if isinstance(outcome, BrokerUnavailable)), None)
        if unavailable is not None:
            raise unavailable
        return len(rows) == limit and bool(done)

    async def _delete(self, lease: SlotLease, done: Sequence[PublishedRow]) -> None:
        """Deletes what is in the log; while the database is away it tries again, since publishing again is worse."""
        pauses = Backoff(0.1, 5.0)
        while done:
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
        self, producer: RecordProducer, rows: Sequence[OutboxRow], outcomes: Sequence[PublishOutcome]
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
            _log.warning("relay: waiting for %s", what)
        elif what is None and self.waiting_for is not None:
            _log.info("relay: going on")
        self.waiting_for = what


def _outgoing(row: OutboxRow) -> OutgoingRecord:
    key = None if row.key is None else row.key.encode()
    return OutgoingRecord(row.topic, key, row.payload, [(name, value.encode()) for name, value in row.headers])
