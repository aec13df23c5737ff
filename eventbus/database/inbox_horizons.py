"""
Up to when the rows of an inbox have expired.

A row is there for the copies of its message that the log may hold: those that a relay published again. All of them are
in the log when the longest time in which a relay could publish again (`kept`) has passed since the row was written. So
when the log's ends are noted at a time t0, every copy of what was handled before t0 - kept lies below them; when the
consumer's checkpoints have passed them too, none is delivered any more, and the row can go. A row that was written
ahead of the checkpoint, by one of several lanes, is held by the same rule: its record lies below those ends as well.

Seeking    moves a checkpoint back, so it waits for who expires, and who expires looks at the checkpoints under the same
           lock: the horizon's row
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.checkpoints import LogPartition
from eventbus.database.dialects import insert_into
from eventbus.database.tables import checkpoints, inbox, inbox_horizons


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The end of a partition as it was noted, and the consumer whose checkpoint (generation 0) is to pass it."""

    consumer: str
    log: LogPartition
    end: int


class InboxHorizons:
    """The horizons of a database. None: nothing of the consumer's has expired yet."""

    async def list(self, connection: AsyncConnection) -> dict[str, datetime | None]:
        """The horizon of each consumer that has one, by name."""
        statement = select(inbox_horizons.c.consumer, inbox_horizons.c.expired_before)
        return dict((await connection.execute(statement)).all())

    async def hold(self, connection: AsyncConnection, consumer: str) -> datetime | None:
        """The consumer's horizon, which stays where it is until this transaction ends; waits for who moves it."""
        await self._make(connection, consumer)
        held = select(inbox_horizons.c.expired_before).where(inbox_horizons.c.consumer == consumer).with_for_update()
        horizon: datetime | None = (await connection.execute(held)).scalar_one()
        return horizon

    async def expire(
        self, connection: AsyncConnection, consumer: str, before: datetime, ends: Sequence[LogEnd], *, limit: int
    ) -> int | None:
        """
        Forget *limit* of the messages that *consumer* handled before that time, at most, and say so in the horizon; how
        many they were. None, and nothing is changed, when a checkpoint has not passed its end yet, or is of another
        log; or while another transaction expires this consumer's rows, or seeks.
        """
        await self._make(connection, consumer)
        held = (
            select(inbox_horizons.c.consumer)
            .where(inbox_horizons.c.consumer == consumer)
            .with_for_update(skip_locked=True)
        )
        if (await connection.execute(held)).first() is None or not await _have_passed(connection, ends):
            return None
        rows = select(inbox.c.message_id).where(inbox.c.consumer == consumer, inbox.c.handled_at < before).limit(limit)
        statement = delete(inbox).where(inbox.c.consumer == consumer, inbox.c.message_id.in_(rows))
        expired = (await connection.execute(statement)).rowcount
        if expired:
            await connection.execute(
                update(inbox_horizons)
                .where(
                    inbox_horizons.c.consumer == consumer,
                    or_(inbox_horizons.c.expired_before.is_(None), inbox_horizons.c.expired_before < before),
                )
                .values(expired_before=before)
            )
        return expired

    async def _make(self, connection: AsyncConnection, consumer: str) -> None:
        statement = insert_into(connection, inbox_horizons).values(consumer=consumer, expired_before=None)
        await connection.execute(statement.on_conflict_do_nothing())


async def _have_passed(connection: AsyncConnection, ends: Sequence[LogEnd]) -> bool:
    statement = select(checkpoints).where(
        checkpoints.c.generation == 0, checkpoints.c.consumer.in_(sorted({end.consumer for end in ends}))
    )
    found = {
        (row.consumer, LogPartition(row.cluster_id, row.topic, row.topic_id, row.partition)): row.next_offset
        for row in await connection.execute(statement)
    }
    places = [(found.get((end.consumer, end.log)), end.end) for end in ends]
    return all(next_offset is not None and next_offset >= end for next_offset, end in places)
