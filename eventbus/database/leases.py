"""
Who may publish a slot of the outbox: one relay at a time, for a time.

A lease is fenced by its epoch, not by its time: a relay that slept past its lease and wakes finds another epoch when it
deletes, and nothing is deleted. The epoch grows with a takeover only, so renewing disturbs no batch in flight.

The relays that are alive are listed too, so that each can tell its share of the slots, one without any slot as well.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.dialects import insert_into, is_sqlite
from eventbus.database.tables import relay_slots, relays
from eventbus.database.times import UtcTime


@dataclass(frozen=True, slots=True)
class SlotLease:
    """A slot held by *holder* until *expires_at*, by the database's clock."""

    slot: int
    holder: str
    lease_epoch: int
    expires_at: datetime


class SlotLeases:
    """The leases of a database's slots. Time is the database's, so that machines need not agree on it."""

    async def acquire(self, connection: AsyncConnection, slot: int, holder: str, seconds: float) -> SlotLease | None:
        """
        The slot, for *seconds*: free, expired, or held by *holder* already (a process that starts again under its name
        takes over from its former self, with a new epoch). None while another holds it.
        """
        now = await _now(connection)
        expires_at = now + timedelta(seconds=seconds)
        statement = (
            insert_into(connection, relay_slots)
            .values(slot=slot, holder=holder, lease_epoch=1, expires_at=expires_at)
            .on_conflict_do_update(
                index_elements=[relay_slots.c.slot],
                set_={"holder": holder, "lease_epoch": relay_slots.c.lease_epoch + 1, "expires_at": expires_at},
                where=or_(relay_slots.c.expires_at <= now, relay_slots.c.holder == holder),
            )
            .returning(relay_slots.c.lease_epoch)
        )
        epoch: int | None = (await connection.execute(statement)).scalar_one_or_none()
        return None if epoch is None else SlotLease(slot, holder, epoch, expires_at)

    async def renew(self, connection: AsyncConnection, lease: SlotLease, seconds: float) -> SlotLease | None:
        """The same lease, for *seconds* from now, even if it had expired. None when another has taken it over."""
        expires_at = await _now(connection) + timedelta(seconds=seconds)
        if not await self._move_expiry(connection, lease, expires_at):
            return None
        return SlotLease(lease.slot, lease.holder, lease.lease_epoch, expires_at)

    async def release(self, connection: AsyncConnection, lease: SlotLease) -> None:
        """Let others take the slot at once. Nothing happens when one of them has."""
        await self._move_expiry(connection, lease, await _now(connection))

    async def free(self, connection: AsyncConnection, slots: Iterable[int], holder: str) -> list[int]:
        """Those of *slots* that `acquire` would give to *holder* now; nothing is written."""
        held = select(relay_slots.c.slot).where(
            relay_slots.c.expires_at > await _now(connection), relay_slots.c.holder != holder
        )
        taken = set((await connection.execute(held)).scalars())
        return [slot for slot in slots if slot not in taken]

    async def announce(self, connection: AsyncConnection, holder: str, seconds: float) -> None:
        """*holder* wants a share of the slots and counts as alive for *seconds*."""
        now = await _now(connection)
        expires_at = now + timedelta(seconds=seconds)
        await connection.execute(delete(relays).where(relays.c.expires_at <= now))
        await connection.execute(
            insert_into(connection, relays)
            .values(holder=holder, expires_at=expires_at)
            .on_conflict_do_update(index_elements=[relays.c.holder], set_={"expires_at": expires_at})
        )

    async def leave(self, connection: AsyncConnection, holder: str) -> None:
        """*holder* wants no share any more."""
        await connection.execute(delete(relays).where(relays.c.holder == holder))

    async def alive(self, connection: AsyncConnection) -> Sequence[str]:
        """The relays that run, by name, or that were killed moments ago."""
        statement = (
            select(relays.c.holder).where(relays.c.expires_at > await _now(connection)).order_by(relays.c.holder)
        )
        return [*(await connection.execute(statement)).scalars()]

    async def list(self, connection: AsyncConnection) -> list[SlotLease]:
        """All leases ever given, expired ones too, by slot."""
        statement = select(
            relay_slots.c.slot, relay_slots.c.holder, relay_slots.c.lease_epoch, relay_slots.c.expires_at
        ).order_by(relay_slots.c.slot)
        return [SlotLease(*row) for row in await connection.execute(statement)]

    async def _move_expiry(self, connection: AsyncConnection, lease: SlotLease, expires_at: datetime) -> bool:
        statement = (
            update(relay_slots)
            .where(relay_slots.c.slot == lease.slot, relay_slots.c.lease_epoch == lease.lease_epoch)
            .values(expires_at=expires_at)
        )
        return (await connection.execute(statement)).rowcount == 1


async def _now(connection: AsyncConnection) -> datetime:
    # A SQLite file is used by the processes of one machine, whose clock is theirs.
    if is_sqlite(connection):
        return datetime.now(UTC)
    now: datetime = (await connection.execute(select(func.clock_timestamp(type_=UtcTime)))).scalar_one()
    return now
