"""
The relay broken on purpose, in the process under test and only there: what the checker has to find.

Each break takes one of the relay's safeguards away and leaves everything else as it is.
"""

import os
import signal
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database import Outbox, PublishedRow, SlotLease, SlotLeases
from eventbus.database.tables import outbox
from eventbus.delivery.relay_parts import RelayParts
from eventbus.delivery.relay_slot import RelaySlot
from eventbus.transport.port import OutgoingRecord, PublishOutcome, TransactionalProducer

_SLOW_SECONDS: Final = 0.5


def without_slots() -> None:
    """Every relay takes every slot, whoever holds it, and writes under an id of its own."""

    async def acquire(
        self: SlotLeases, connection: AsyncConnection, slot: int, holder: str, seconds: float
    ) -> SlotLease:
        return SlotLease(slot, holder, 1, datetime.now(UTC) + timedelta(seconds=seconds))

    async def renew(self: SlotLeases, connection: AsyncConnection, lease: SlotLease, seconds: float) -> SlotLease:
        return lease

    async def free(self: SlotLeases, connection: AsyncConnection, slots: Iterable[int], holder: str) -> list[int]:
        return list(slots)

    async def alive(self: SlotLeases, connection: AsyncConnection) -> Sequence[str]:
        return ()

    async def delete(
        self: Outbox, connection: AsyncConnection, slot: int, lease_epoch: int, rows: Sequence[PublishedRow]
    ) -> None:
        for row in rows:
            await connection.execute(sqlalchemy.delete(outbox).where(outbox.c.sequence == row.sequence))

    _replace(SlotLeases, acquire=acquire, renew=renew, free=free, alive=alive)
    _replace(Outbox, delete=delete)
    without_transactional_fencing()


def without_transactional_fencing() -> None:
    """A slot's transactional id is another one in each process: taking it over fences nobody."""

    def transactional_id(self: RelayParts, slot: int) -> str:
        return f"eventbus.{self.service}.{slot}.{os.getpid()}"

    _replace(RelayParts, transactional_id=transactional_id)


def deleting_first() -> None:
    """Rows leave the outbox before the log has them."""
    rounds = RelaySlot._rounds

    async def broken(self: RelaySlot, producer: TransactionalProducer) -> None:
        await rounds(self, _DeletingFirst(self, producer))

    _replace(RelaySlot, _rounds=broken)


class _DeletingFirst:
    """Stands between the slot and its producer."""

    def __init__(self, slot: RelaySlot, producer: TransactionalProducer) -> None:
        self._slot = slot
        self._producer = producer

    async def take_over(self) -> None:
        await self._producer.take_over()

    async def aclose(self) -> None:
        await self._producer.aclose()

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[PublishOutcome]:
        parts = self._slot._parts
        rows = await parts.outbox.claim(parts.database, self._slot.number, len(records))
        async with parts.database.transaction() as connection:
            sequences = [row.sequence for row in rows]
            await connection.execute(sqlalchemy.delete(outbox).where(outbox.c.sequence.in_(sequences)))
        return await self._producer.publish(records)


def renewing_slowly_when_woken() -> None:
    """
    No break: the database takes its time for the first renewal after SIGCONT, so that a relay that wakes up goes on
    with what it was doing before it is told that its lease is another's.
    """
    renew = SlotLeases.renew
    woken: list[int] = []
    signal.signal(signal.SIGCONT, lambda number, _: woken.append(number))

    async def slowly(
        self: SlotLeases, connection: AsyncConnection, lease: SlotLease, seconds: float
    ) -> SlotLease | None:
        if woken:
            woken.clear()
            await anyio.sleep(_SLOW_SECONDS)
        return await renew(self, connection, lease, seconds)

    _replace(SlotLeases, renew=slowly)


def _replace(owner: type, **methods: Callable[..., object]) -> None:
    for name, method in methods.items():
        setattr(owner, name, method)


BREAKS: Final[dict[str, Callable[[], None]]] = {
    "without slots": without_slots,
    "without transactional fencing": without_transactional_fencing,
    "deleting first": deleting_first,
    "renewing slowly when woken": renewing_slowly_when_woken,
}
