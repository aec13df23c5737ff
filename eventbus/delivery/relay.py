"""
Brings what was committed in the outbox into the log: a `RelaySlot` for each slot that this process holds.

Sharing     every relay of a service says in the database that it is alive. Of n slots and m living relays each takes at
            most n / m, rounded up: one that has more gives some up, one that has fewer takes what is free
Taking over the leases of a process that was killed run out, and the others take its slots with their next look, a tenth
            of a lease later: who is alive is counted in the same look as what is free. A clean stop frees them
Strays      rows of a slot beyond the number of slots were written when there were more: such a slot is shared out too
Refused     a record that the log refuses for good blocks its key: later rows of the key wait, all others go on, and it
            is tried again from time to time, since what refuses it (a topic's size limit, an ACL) can be mended
"""

import logging
import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import anyio
from anyio.abc import TaskGroup, TaskStatus

from eventbus.database import BlockedRows, Database, Outbox, SlotLease, SlotLeases
from eventbus.delivery.blocked_keys import BlockedKey
from eventbus.delivery.relay_parts import RelayParts
from eventbus.delivery.relay_slot import RelaySlot
from eventbus.delivery.wakeup import Wakeup
from eventbus.errors import DatabaseUnavailable
from eventbus.observability import Counters, OutboxFigures, outbox_figures
from eventbus.transport.partitioning import SLOTS
from eventbus.transport.port import Transport

_log = logging.getLogger("eventbus.delivery")

_FIGURES_SECONDS = 10.0
_POSITIONS_KEPT = timedelta(days=1)
_PRUNE_SECONDS = 3600.0
_LEAVE_SECONDS = 2


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """What this process' relay is doing. `slots` are those that it holds now."""

    slots: tuple[int, ...]
    published: int
    blocked: tuple[BlockedKey, ...]
    waiting_for: str | None


class Relay:
    """
    Publishes its share of one service's outbox, until `stop`.

    service        the service's name: the slots' transactional ids in the log begin with it
    holder         this process' name in the leases: one that starts again under it takes over at once
    lease_seconds  how long a relay that was killed keeps its rows waiting
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
        service: str,
        counters: Counters | None = None,
        slots: int = SLOTS,
        lease_seconds: float = 10.0,
        poll_seconds: float = 0.1,
        shutdown_seconds: float = 10.0,
    ) -> None:
        self._parts = RelayParts(
            database,
            outbox,
            leases,
            BlockedRows(),
            transport,
            service,
            holder,
            counters or Counters(),
            lease_seconds,
            poll_seconds,
        )
        self._slot_count = slots
        self._shutdown_seconds = shutdown_seconds
        self._slots: dict[int, RelaySlot] = {}
        self._published = 0
        self._announce_at = 0.0
        self._waiting_for: str | None = None
        self._stopping = False
        self._keeper = Wakeup()
        self._looker = Wakeup()
        self._running = False
        self._ended = anyio.Event()

    def wake(self) -> None:
        """Rows were committed. To be called on the event loop's thread."""
        # Whose rows they are, one cheap look says for all idle slots; those that work look for themselves.
        self._looker.set()
        for slot in self._slots.values():
            if not slot.is_idle:
                slot.woken.set()

    def status(self) -> RelayStatus:
        """What it is doing now."""
        slots = self._slots.values()
        waiting = self._waiting_for or next((slot.waiting_for for slot in slots if slot.waiting_for is not None), None)
        if (away := self._parts.transport.away_seconds) is not None:
            waiting = f"the broker, away for {away:.0f} s"
        return RelayStatus(
            tuple(sorted(self._slots)),
            self._published + sum(slot.published for slot in slots),
            tuple(blocked for slot in slots for blocked in slot.blocked.shown()),
            waiting,
        )

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Publishes until `stop`. Waits through absences of broker and database; never raises."""
        self._running = True
        task_status.started()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._look, tasks.cancel_scope)
                async with anyio.create_task_group() as slots:
                    await self._keep(slots)
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._leave()
            outbox_figures(self._parts.service, None)
            self._ended.set()

    async def stop(self) -> None:
        """Ends `run`: batches in flight are finished, for `shutdown_seconds` at most, and the leases are released."""
        if not self._running:
            return
        self._stopping = True
        self._keeper.set()
        for slot in self._slots.values():
            slot.stop()
        with anyio.move_on_after(self._shutdown_seconds):
            await self._ended.wait()
            return
        for slot in self._slots.values():
            slot.abandon()
        await self._ended.wait()

    async def _keep(self, tasks: TaskGroup) -> None:
        """Keeps the leases, also while a slot waits for the broker, and the number of slots at this relay's share."""
        while not self._stopping:
            try:
                await self._renew_and_share(tasks)
            except DatabaseUnavailable as error:
                self._wait_for(f"the database: {error}")
            except Exception as error:
                _log.exception("relay: the leases could not be seen to, trying again")
                self._wait_for(f"the leases: {error}")
            else:
                self._wait_for(None)
            await self._keeper.wait(self._parts.lease_seconds / 10)

    async def _renew_and_share(self, tasks: TaskGroup) -> None:
        parts = self._parts
        if time.monotonic() >= self._announce_at:
            await self._renew()
        async with parts.database.reading() as connection:
            strays = await parts.outbox.stray_slots(connection, self._slot_count)
            wanted = [*range(self._slot_count), *strays]
            free = await parts.leases.free(connection, wanted, parts.holder)
            # Not what was counted at the last announcement: then a dead relay's share stays its own for longer than
            # its leases do.
            alive = max(1, len(await parts.leases.alive(connection)))
        share = math.ceil(len({*wanted, *self._slots}) / alive)
        held = [slot for slot in self._slots.values() if not slot.stopping]
        for slot in held[share:]:
            _log.info("relay: slot %d is for another of %d processes", slot.number, alive)
            slot.stop()
        missing = [slot for slot in free if slot not in self._slots][: max(0, share - len(held))]
        if missing:
            for lease in await self._acquire(missing):
                slot = self._slots[lease.slot] = RelaySlot(lease, parts)
                if self._stopping:
                    slot.stop()
                tasks.start_soon(self._run_slot, slot)

    async def _renew(self) -> None:
        """Says that this relay is alive, and renews the leases."""
        parts = self._parts
        lost: list[RelaySlot] = []
        renewed: list[tuple[RelaySlot, SlotLease]] = []
        begun = time.monotonic()
        async with parts.database.transaction() as connection:
            await parts.leases.announce(connection, parts.holder, parts.lease_seconds)
            for slot in list(self._slots.values()):
                if slot.lease is None:
                    continue
                lease = await parts.leases.renew(connection, slot.lease, parts.lease_seconds)
                if lease is None:
                    lost.append(slot)
                else:
                    renewed.append((slot, lease))
        self._announce_at = begun + parts.lease_seconds / 3
        for slot, lease in renewed:
            if slot.lease is not None:
                slot.lease = lease
        for slot in lost:
            slot.lose()

    async def _acquire(self, slots: list[int]) -> list[SlotLease]:
        parts = self._parts
        async with parts.database.transaction() as connection:
            found = [await parts.leases.acquire(connection, slot, parts.holder, parts.lease_seconds) for slot in slots]
        return [lease for lease in found if lease is not None]

    async def _run_slot(self, slot: RelaySlot) -> None:
        try:
            await slot.run()
        except Exception:
            _log.exception("relay: slot %d failed, it will be taken again", slot.number)
        finally:
            self._published += slot.published
            del self._slots[slot.number]
            self._keeper.set()

    async def _look(self, scope: anyio.CancelScope) -> None:
        """Looks which slots have rows, after a commit here or, of other processes, now and then; and what is due."""
        parts = self._parts
        next_figures = next_prune = 0.0
        while not scope.cancel_called:
            try:
                idle = [slot.number for slot in self._slots.values() if slot.is_idle]
                for number in await parts.outbox.waiting(parts.database, idle) if idle else []:
                    if number in self._slots:
                        self._slots[number].woken.set()
                if time.monotonic() >= next_figures:
                    next_figures = time.monotonic() + _FIGURES_SECONDS
                    await self._measure()
                if time.monotonic() >= next_prune and 0 in self._slots:
                    next_prune = time.monotonic() + _PRUNE_SECONDS
                    async with parts.database.transaction() as connection:
                        await parts.outbox.prune(connection, datetime.now(UTC) - _POSITIONS_KEPT)
            except DatabaseUnavailable:
                # Said by those who keep the leases.
                pass
            except Exception:
                _log.exception("relay: looking for rows failed, trying again")
            await self._looker.wait(parts.poll_seconds)

    async def _measure(self) -> None:
        async with self._parts.database.reading() as connection:
            found = await self._parts.outbox.status(connection)
            blocked = await self._parts.blocked_rows.list(connection)
        outbox_figures(self._parts.service, OutboxFigures(found.rows, found.oldest_age_seconds, len(blocked)))

    async def _leave(self) -> None:
        parts = self._parts
        try:
            with anyio.fail_after(_LEAVE_SECONDS):
                async with parts.database.transaction() as connection:
                    await parts.leases.leave(connection, parts.holder)
        except (DatabaseUnavailable, TimeoutError):
            _log.info("relay: could not be signed off; it counts as alive for %g s", parts.lease_seconds)

    def _wait_for(self, what: str | None) -> None:
        if what is not None and self._waiting_for is None:
            _log.warning("relay: waiting for %s", what)
        elif what is None and self._waiting_for is not None:
            _log.info("relay: going on")
        self._waiting_for = what
