"""
Rows of the outbox that the log refuses: written by the relay, for whoever asks, in any process.

A blocked row stays in the outbox and blocks its key: what comes behind it waits. The relay tries it again from time to
time; an operator can have it tried at once, or discard it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.tables import blocked_rows, outbox


@dataclass(frozen=True, slots=True)
class BlockedRow:
    """One row that is refused. *sequence* is the outbox's, *attempts* counts how often it was, *reason* why last."""

    sequence: int
    slot: int
    event_id: str
    type: str
    topic: str
    key: str | None
    reason: str
    attempts: int
    blocked_at: datetime
    retry_requested_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class WaitingKey:
    """A blocked row, and how many rows of its key are in the outbox, itself among them."""

    blocked: BlockedRow
    rows: int


class BlockedRows:
    """The blocked rows of a database. Every method works in the transaction of the connection that it is given."""

    async def replace(self, connection: AsyncConnection, slot: int, rows: Sequence[BlockedRow]) -> None:
        """These are the slot's blocked rows now, and no others."""
        await connection.execute(delete(blocked_rows).where(blocked_rows.c.slot == slot))
        if rows:
            await connection.execute(
                insert(blocked_rows), [{name: getattr(row, name) for name in _NAMES} for row in rows]
            )

    async def retries(self, connection: AsyncConnection, slot: int) -> set[int]:
        """The sequences of the slot's rows that somebody wants to be tried again now."""
        wanted = select(blocked_rows.c.sequence).where(
            blocked_rows.c.slot == slot, blocked_rows.c.retry_requested_at.is_not(None)
        )
        return set((await connection.execute(wanted)).scalars())

    async def list(self, connection: AsyncConnection, event_ids: Sequence[str] = ()) -> list[WaitingKey]:
        """The blocked rows that are still in the outbox, the oldest first; those of *event_ids*, or all."""
        same_key = outbox.alias()
        waiting = (
            select(func.count())
            .select_from(same_key)
            .where(
                same_key.c.slot == blocked_rows.c.slot,
                same_key.c.topic == blocked_rows.c.topic,
                same_key.c.key == blocked_rows.c.key,
            )
            .scalar_subquery()
        )
        statement = (
            select(*(blocked_rows.c[name] for name in _NAMES), waiting)
            .join(outbox, outbox.c.sequence == blocked_rows.c.sequence)
            .order_by(blocked_rows.c.sequence)
        )
        if event_ids:
            statement = statement.where(blocked_rows.c.event_id.in_(event_ids))
        found = await connection.execute(statement)
        # A row without a key waits alone.
        return [WaitingKey(BlockedRow(*row), rows or 1) for *row, rows in found]

    async def retry(self, connection: AsyncConnection, sequences: Sequence[int], now: datetime) -> None:
        """Have the relay that holds them try these rows again, as soon as it looks."""
        await connection.execute(
            update(blocked_rows).where(blocked_rows.c.sequence.in_(sequences)).values(retry_requested_at=now)
        )

    async def discard(self, connection: AsyncConnection, sequences: Sequence[int]) -> int:
        """Take blocked rows out of the outbox for good: their events are never published. How many there were."""
        blocked = select(blocked_rows.c.sequence).where(blocked_rows.c.sequence.in_(sequences))
        discarded = (await connection.execute(delete(outbox).where(outbox.c.sequence.in_(blocked)))).rowcount
        await connection.execute(delete(blocked_rows).where(blocked_rows.c.sequence.in_(sequences)))
        return discarded


_NAMES = tuple(BlockedRow.__dataclass_fields__)
