"""
Brings what was committed in the outbox into the log: a `RelaySlot` for each slot that this process can lease.

Refused     a record that the log refuses for good blocks its key: later rows of the key wait, all others go on, and it
            is tried again from time to time, since what refuses it (a topic's size limit, an ACL) can be mended
Fencing     a lease fences the table, not the log: a relay that is frozen past its lease with records in flight can
            still write them behind its successor's. Transactional ids per slot close that gap (decision 2)
"""

from dataclasses import dataclass

import anyio
from anyio.abc import TaskStatus

from eventbus.database import Database, Outbox, SlotLeases
from eventbus.delivery.blocked_keys import BlockedKey
from eventbus.delivery.relay_slot import RelayParts, RelaySlot
from eventbus.observability import Counters
from eventbus.transport.partitioning import SLOTS
from eventbus.transport.port import Transport


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
        parts = RelayParts(database, outbox, leases, holder, counters or Counters(), lease_seconds, poll_seconds)
        self._slots = [RelaySlot(slot, parts) for slot in range(slots)]
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
            tuple(blocked for slot in self._slots for blocked in slot.blocked.shown()),
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
