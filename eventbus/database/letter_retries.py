"""
Dead letters on their way out: asked for, handled again by the service, or discarded.

A letter is due from its `retry_at` on. Whoever handles it holds its row, and takes it away in the transaction of the
effects; a process that dies in the middle leaves the letter due. The key that waits behind a letter goes on with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import delete, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.dead_letters import DeadLetter, letter_of
from eventbus.database.parking import Parking
from eventbus.database.tables import dead_letters


@dataclass(frozen=True, slots=True)
class Failure:
    """How a handler has failed at a letter, and when it is to be tried again; None: when somebody asks for it."""

    error_class: str
    error_message: str
    error_stack: str
    failed_at: datetime
    retry_at: datetime | None


_PARKING: Final = Parking()


class LetterRetries:
    """The same letters as `DeadLetters`. Every method works in the transaction of the connection that it is given."""

    async def request(self, connection: AsyncConnection, letter_ids: Sequence[str], now: datetime) -> int:
        """Have the service handle these again, as soon as it looks; how many there still are."""
        statement = update(dead_letters).where(dead_letters.c.id.in_(letter_ids)).values(retry_at=now, tries=0)
        return (await connection.execute(statement)).rowcount

    async def due(
        self, connection: AsyncConnection, consumer: str, handlers: Sequence[str], now: datetime, limit: int
    ) -> list[str]:
        """The ids of letters that are to be handled now, those of these handlers and of none, the longest due first."""
        columns = dead_letters.c
        statement = (
            select(columns.id)
            .where(
                columns.consumer == consumer,
                columns.retry_at <= now,
                or_(columns.handler.in_(handlers), columns.handler.is_(None)),
            )
            .order_by(columns.retry_at, columns.failed_at, columns.offset)
            .limit(limit)
        )
        return list((await connection.execute(statement)).scalars())

    async def hold(self, connection: AsyncConnection, letter_id: str, now: datetime) -> DeadLetter | None:
        """The letter, if it is due and no other transaction has it; until this one ends, none gets it."""
        statement = (
            select(dead_letters)
            .where(dead_letters.c.id == letter_id, dead_letters.c.retry_at <= now)
            .with_for_update(skip_locked=True)
        )
        row = (await connection.execute(statement)).one_or_none()
        return None if row is None else letter_of(row)

    async def failed(self, connection: AsyncConnection, letter: DeadLetter, failure: Failure) -> bool:
        """Another attempt at *letter*, as `hold` gave it, has failed; False when it was asked for again since."""
        statement = (
            update(dead_letters)
            .where(
                dead_letters.c.id == letter.id,
                dead_letters.c.retry_at == letter.retry_at,
                dead_letters.c.value.is_not_distinct_from(letter.value),
            )
            .values(
                error_class=failure.error_class,
                error_message=failure.error_message,
                error_stack=failure.error_stack,
                failed_at=failure.failed_at,
                attempts=letter.attempts + 1,
                tries=letter.tries + 1,
                retry_at=failure.retry_at,
            )
        )
        return (await connection.execute(statement)).rowcount == 1

    async def remove(self, connection: AsyncConnection, letter_ids: Sequence[str]) -> int:
        """
        These letters are handled, or not wanted any more, and the keys behind them go on; how many there were. One
        that a running service is just handling is waited for.
        """
        removed = (await connection.execute(delete(dead_letters).where(dead_letters.c.id.in_(letter_ids)))).rowcount
        await _PARKING.release(connection, letter_ids)
        return removed
