"""
Brings what was committed in the outbox into the log.

One round   claim rows in order → publish them as one batch → delete those that the log has, leaving their positions
            for receipts, in one transaction that the slot's lease fences
Again       a relay that dies between the log's answer and the delete leaves the rows to the next one, which publishes
            them again under the same ids: consumers drop repeats by these
Refused     a record that the log refuses for good blocks its key: later rows of the key wait, all others go on, and it
            is tried again from time to time, since what refuses it (a topic's size limit, an ACL) can be mended
Waking      `wake` after each commit of this process; for those of others, a short poll

A lease fences the table, not the log: a relay that is frozen past its lease with records in flight can still write them
behind its successor's. Transactional ids per slot close that gap (decision 2).
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import anyio
from anyio.abc import TaskStatus

from eventbus.database import Database, Outbox, OutboxRow, PublishedRow, SlotLease, SlotLeases
from eventbus.delivery.backoff import Backoff
from eventbus.delivery.wakeup import Wakeup
from eventbus.errors import BrokerUnavailable, DatabaseUnavailable, LeaseLost, PublishRefused
from eventbus.observability import EVENTS_PUBLISHED, EVENTS_REFUSED, Counters, sent
from eventbus.transport.partitioning import SLOTS
from eventbus.transport.port import OutgoingRecord, Published, PublishOutcome, RecordProducer, Transport

_log = logging.getLogger("eventbus.delivery")

BATCH_MAX = 1000
_SUSPECTS_MAX = 50


@dataclass(frozen=True, slots=True)
class BlockedKey:
    """A key whose first row the log refuses; *rows* of it wait, as far as the relay has looked."""

    topic: str
    key: str | None
    event_id: str
    reason: str
    rows: int


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """What this process' relay is doing. `slots` are those that it holds now."""

    slots: tuple[int, ...]
    published: int
    blocked: tuple[BlockedKey, ...]
    waiting_for: str | None


class Relay:
    """
    Publishes the slots of one service's outbox that it can lease, until `stop`.

    holder         this process' name in the leases: one that starts again under it takes over at once
    lease_seconds  how long a relay that was killed keeps others waiting
    poll_seconds   how long a row of another process may wait to be seen
    """

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        leases: SlotLeases,
        transport: Transport,
        holder: str,
        *,
        counters: Counters | None = None,
        slots: int = SLOTS,
        lease_seconds: float = 10.0,
        poll_seconds: float = 0.1,
        shutdown_seconds: float = 10.0,
    ) -> None:
        self._transport = transport
        self._shutdown_seconds = shutdown_seconds
        shared = _Shared(database, outbox, leases, holder, counters or Counters(), lease_seconds, poll_seconds)
        self._slots = [_Slot(slot, shared) for slot in range(slots)]
        self._running = False
        self._ended = anyio.Event()

    def wake(self) -> None:
        """Rows were committed. To be called on the event loop's thread."""
        for slot in self._slots:
            slot.woken.set()

    def status(self) -> RelayStatus:
        """What it is doing now."""
        waiting = next((slot.waiting_for for slot in self._slots if slot.waiting_for is not None), None)
        if (away := self._transport.away_seconds) is not None:
            waiting = f"the broker, away for {away:.0f} s"
        return RelayStatus(
            tuple(slot.number for slot in self._slots if slot.lease is not None),
            sum(slot.published for slot in self._slots),
            tuple(blocked.shown for slot in self._slots for blocked in slot.blocked.values()),
            waiting,
        )

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Publishes until `stop`. Waits through absences of broker and database; never raises."""
        self._running = True
        producer = self._transport.producer()
        task_status.started()
        try:
            async with anyio.create_task_group() as tasks:
                for slot in self._slots:
                    tasks.start_soon(slot.run, producer)
        finally:
            with anyio.CancelScope(shield=True):
                await producer.aclose()
            self._ended.set()

    async def stop(self) -> None:
        """Ends `run`: the batch in flight is finished, for `shutdown_seconds` at most, and the leases are released."""
        if not self._running:
            return
        for slot in self._slots:
            slot.stopping = True
            slot.woken.set()
        with anyio.move_on_after(self._shutdown_seconds):
            await self._ended.wait()
            return
        for slot in self._slots:
            slot.abandon()
        await self._ended.wait()


@dataclass(frozen=True, slots=True)
class _Shared:
    database: Database
    outbox: Outbox
    leases: SlotLeases
    holder: str
    counters: Counters
    lease_seconds: float
    poll_seconds: float


@dataclass(slots=True)
class _Blocked:
    shown: BlockedKey
    sequence: int
    pauses: Backoff
    try_at: float


_Key = tuple[str, str | int]
"""The topic and the key; of a row without a key, its sequence: it blocks only itself."""


def _key(row: OutboxRow) -> _Key:
    return (row.topic, row.sequence if row.key is None else row.key)


def _record(row: OutboxRow) -> OutgoingRecord:
    key = None if row.key is None else row.key.encode()
    return OutgoingRecord(row.topic, key, row.payload, [(name, value.encode()) for name, value in row.headers])


class _Slot:
    """One slot: its lease, and the rounds while it is held."""

    def __init__(self, number: int, shared: _Shared) -> None:
        self.number = number
        self.woken = Wakeup()
        self.stopping = False
        self.lease: SlotLease | None = None
        self.published = 0
        self.blocked: dict[_Key, _Blocked] = {}
        self.waiting_for: str | None = None
        self._shared = shared
        self._held = 0
        self._scope: anyio.CancelScope | None = None

    def abandon(self) -> None:
        """Gives up a batch in flight: its rows stay, for the next relay to publish again."""
        if self._scope is not None:
            self._scope.cancel()

    async def run(self, producer: RecordProducer) -> None:
        while not self.stopping:
            lease = await self._acquire()
            if lease is None:
                await self.woken.wait(self._shared.lease_seconds / 10)
                continue
            self.lease = lease
            try:
                async with anyio.create_task_group() as tasks:
                    self._scope = tasks.cancel_scope
                    tasks.start_soon(self._renew, tasks.cancel_scope)
                    await self._rounds(producer, lease)
                    tasks.cancel_scope.cancel()
            finally:
                self._scope = None
                with anyio.CancelScope(shield=True):
                    await self._release()

    async def _acquire(self) -> SlotLease | None:
        shared = self._shared
        try:
            async with shared.database.transaction() as connection:
                lease = await shared.leases.acquire(connection, self.number, shared.holder, shared.lease_seconds)
        except DatabaseUnavailable as error:
            self._wait_for(f"the database: {error}")
            return None
        self._wait_for(None)
        return lease

    async def _renew(self, scope: anyio.CancelScope) -> None:
        """Keeps the lease while rounds go on, also while one waits for the broker; ends them when it is lost."""
        shared = self._shared
        while self.lease is not None:
            await anyio.sleep(shared.lease_seconds / 3)
            try:
                async with shared.database.transaction() as connection:
                    self.lease = await shared.leases.renew(connection, self.lease, shared.lease_seconds)
            except DatabaseUnavailable:
                # Said by the rounds. Whether the lease is still ours is found out by the next renewal or delete.
                continue
        _log.warning("relay: slot %d was taken over by another process; what is in flight is given up", self.number)
        scope.cancel()

    async def _release(self) -> None:
        lease, self.lease = self.lease, None
        self.blocked.clear()
        self._held = 0
        if lease is None:
            return
        try:
            with anyio.fail_after(2):
                async with self._shared.database.transaction() as connection:
                    await self._shared.leases.release(connection, lease)
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
                await self.woken.wait(self._shared.poll_seconds)

    async def _round(self, producer: RecordProducer, lease: SlotLease) -> bool:
        """One batch; True when more may be waiting."""
        shared = self._shared
        # Blocked rows stay in front: they are read again each time, and must not be all that is read.
        limit = BATCH_MAX + self._held
        async with shared.database.reading() as connection:
            rows = await shared.outbox.claim(connection, self.number, limit)
        ready = self._ready(rows)
        if not ready:
            return False
        begun = time.monotonic()
        outcomes = await producer.publish([_record(row) for row in ready])
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
                async with self._shared.database.transaction() as connection:
                    await self._shared.outbox.delete(connection, self.number, lease.lease_epoch, done)
            except DatabaseUnavailable as error:
                self._wait_for(f"the database: {error}")
                if self.stopping:
                    raise
                await anyio.sleep(pauses.next())
            else:
                return

    def _ready(self, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
        """The rows whose key is not blocked, and the first of each blocked key whose time to be tried has come."""
        if not self.blocked:
            return list(rows)
        now = time.monotonic()
        ready: list[OutboxRow] = []
        counts: dict[_Key, int] = {}
        for row in rows:
            key = _key(row)
            blocked = self.blocked.get(key)
            if blocked is None:
                ready.append(row)
                continue
            counts[key] = counts.get(key, 0) + 1
            if row.sequence == blocked.sequence and now >= blocked.try_at:
                ready.append(row)
        # A row that was deleted by hand unblocks its key.
        first = {key: next(row.sequence for row in rows if _key(row) == key) for key in counts}
        for key, blocked in list(self.blocked.items()):
            if first.get(key) != blocked.sequence:
                del self.blocked[key]
            else:
                shown = blocked.shown
                blocked.shown = BlockedKey(shown.topic, shown.key, shown.event_id, shown.reason, counts[key])
        self._held = len(rows) - len(ready)
        return ready

    async def _singly(
        self, producer: RecordProducer, rows: Sequence[OutboxRow], outcomes: Sequence[PublishOutcome]
    ) -> list[PublishOutcome]:
        """
        Finds out which rows the log refuses: it refuses a request as a whole, also for one record in it.

        The first refused row of each key is sent alone; the key is blocked when that is refused again.
        """
        settled = list(outcomes)
        tried: set[_Key] = set()
        for at, (row, outcome) in enumerate(zip(rows, outcomes, strict=True)):
            key = _key(row)
            if not isinstance(outcome, PublishRefused) or key in tried or len(tried) == _SUSPECTS_MAX:
                continue
            tried.add(key)
            settled[at] = (await producer.publish([_record(row)]))[0]
            self._judge(row, settled[at])
        for at, outcome in enumerate(settled):
            if isinstance(outcome, Published):
                self._judge(rows[at], outcome)
        return settled

    def _judge(self, row: OutboxRow, outcome: PublishOutcome) -> None:
        key = _key(row)
        blocked = self.blocked.get(key)
        if isinstance(outcome, PublishRefused):
            if blocked is None or blocked.sequence != row.sequence:
                shown = BlockedKey(row.topic, row.key, row.id, str(outcome), 1)
                blocked = self.blocked[key] = _Blocked(shown, row.sequence, Backoff(1.0, 60.0), 0.0)
                self._held += 1
                self._shared.counters.add(EVENTS_REFUSED, topic=row.topic)
                _log.error(
                    "relay: event %s (%s) for key %r waits in the outbox, and blocks its key: %s",
                    row.id,
                    row.type,
                    row.key,
                    outcome,
                )
            blocked.try_at = time.monotonic() + blocked.pauses.next()
        elif isinstance(outcome, Published) and blocked is not None and blocked.sequence == row.sequence:
            del self.blocked[key]
            _log.info("relay: event %s is in the log now, key %r goes on", row.id, row.key)

    def _count(self, done: Sequence[PublishedRow], seconds: float) -> None:
        self.published += len(done)
        topics: dict[str, int] = {}
        for row in done:
            topics[row.topic] = topics.get(row.topic, 0) + 1
        for topic, count in topics.items():
            self._shared.counters.add(EVENTS_PUBLISHED, count, topic=topic)
            sent(topic, count, seconds)

    def _wait_for(self, what: str | None) -> None:
        if what is not None and self.waiting_for is None:
            _log.warning("relay: waiting for %s", what)
        elif what is None and self.waiting_for is not None:
            _log.info("relay: going on")
        self.waiting_for = what
