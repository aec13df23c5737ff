"""
Records that kept failing, or could not be decoded: kept as they came, with what went wrong, for the person on call.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Row, and_, func, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.batches import BatchInsert
from eventbus.database.record_headers import Headers, headers_from_json, headers_to_json
from eventbus.database.tables import dead_letters, generations, parked_events, parked_keys


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """
    One record that one handler could not handle; *handler* is None when nobody could, as it could not be decoded.

    timestamp_ms   the record's own time; None in a letter from before it was kept
    tries          how often it was handled since somebody last asked for it; *attempts* counts all
    retry_at       when it is to be handled again; None: when somebody asks for it
    edited_at      when its value was last changed by hand
    """

    consumer: str
    handler: str | None
    topic: str
    partition: int
    offset: int
    message_id: str | None
    type: str | None
    key: bytes | None
    value: bytes | None
    headers: Headers
    error_class: str
    error_message: str
    error_stack: str
    attempts: int
    failed_at: datetime
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    timestamp_ms: int | None = None
    tries: int = 0
    retry_at: datetime | None = None
    edited_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """
    Which dead letters: those that match all that is given, every one with nothing.

    error     a part of the error's class or message, in any case
    key       the record's, raw
    after     failed at that time or later; *before*: earlier than that
    """

    ids: Sequence[str] | None = None
    consumer: str | None = None
    handler: str | None = None
    type: str | None = None
    topic: str | None = None
    key: bytes | None = None
    error: str | None = None
    before: datetime | None = None
    after: datetime | None = None

    def condition(self) -> ColumnElement[bool]:
        """As SQL."""
        columns = dead_letters.c
        found: list[ColumnElement[bool]] = [
            column == value
            for column, value in (
                (columns.consumer, self.consumer),
                (columns.handler, self.handler),
                (columns.type, self.type),
                (columns.topic, self.topic),
                (columns.key, self.key),
            )
            if value is not None
        ]
        if self.ids is not None:
            found.append(columns.id.in_(self.ids))
        if self.error is not None:
            found.append(
                or_(
                    columns.error_class.icontains(self.error, autoescape=True),
                    columns.error_message.icontains(self.error, autoescape=True),
                )
            )
        if self.before is not None:
            found.append(columns.failed_at < self.before)
        if self.after is not None:
            found.append(columns.failed_at >= self.after)
        return and_(true(), *found)


EVERY: Final = LetterFilter()
_COLUMNS: Final = (
    "consumer",
    "handler",
    "topic",
    "partition",
    "offset",
    "message_id",
    "type",
    "key",
    "value",
    "headers",
    "error_class",
    "error_message",
    "error_stack",
    "attempts",
    "failed_at",
    "id",
    "timestamp_ms",
    "tries",
    "retry_at",
    "edited_at",
)
_ADD: Final = BatchInsert(dead_letters, *_COLUMNS)
_SELECT: Final = select(dead_letters)


class DeadLetters:
    """The dead letters of a database."""

    async def add(self, connection: AsyncConnection, letters: Sequence[DeadLetter]) -> None:
        """Keep the letters, with one statement."""
        await _ADD.execute(
            connection,
            [
                (
                    letter.consumer,
                    letter.handler,
                    letter.topic,
                    letter.partition,
                    letter.offset,
                    letter.message_id,
                    letter.type,
                    letter.key,
                    letter.value,
                    headers_to_json(letter.headers),
                    letter.error_class,
                    letter.error_message,
                    letter.error_stack,
                    letter.attempts,
                    letter.failed_at,
                    letter.id,
                    letter.timestamp_ms,
                    letter.tries,
                    letter.retry_at,
                    letter.edited_at,
                )
                for letter in letters
            ],
        )

    async def list(
        self, connection: AsyncConnection, which: LetterFilter = EVERY, *, limit: int = 100
    ) -> list[DeadLetter]:
        """The latest *limit* letters of these, the latest first."""
        statement = (
            _SELECT.where(which.condition()).order_by(dead_letters.c.failed_at.desc(), dead_letters.c.id).limit(limit)
        )
        return [letter_of(row) for row in await connection.execute(statement)]

    async def ids(self, connection: AsyncConnection, which: LetterFilter) -> Sequence[str]:
        """The ids of all of these, the oldest first."""
        statement = (
            select(dead_letters.c.id)
            .where(which.condition())
            .order_by(dead_letters.c.failed_at, dead_letters.c.topic, dead_letters.c.partition, dead_letters.c.offset)
        )
        return (await connection.execute(statement)).scalars().all()

    async def ids_of_projections(self, connection: AsyncConnection, which: LetterFilter) -> Sequence[str]:
        """Those of these that projections have left: handling them again is a rebuild."""
        projections = select(generations.c.projection)
        statement = select(dead_letters.c.id).where(which.condition(), dead_letters.c.consumer.in_(projections))
        return (await connection.execute(statement)).scalars().all()

    async def show(self, connection: AsyncConnection, letter_id: str) -> DeadLetter | None:
        """The letter; None when there is none of that id."""
        row = (await connection.execute(_SELECT.where(dead_letters.c.id == letter_id))).one_or_none()
        return None if row is None else letter_of(row)

    async def count(self, connection: AsyncConnection) -> dict[str, int]:
        """How many letters each consumer has; those without any are missing."""
        statement = select(dead_letters.c.consumer, func.count()).group_by(dead_letters.c.consumer)
        return dict((await connection.execute(statement)).all())

    async def waiting(self, connection: AsyncConnection, letter_ids: Sequence[str]) -> dict[str, int]:
        """How many events wait behind each of these letters that parks a key; 0 are told, too."""
        statement = (
            select(parked_keys.c.dead_letter_id, func.count(parked_events.c.sequence))
            .join(
                parked_events,
                and_(
                    parked_events.c.consumer == parked_keys.c.consumer,
                    parked_events.c.topic == parked_keys.c.topic,
                    parked_events.c.key == parked_keys.c.key,
                    parked_events.c.handler == parked_keys.c.handler,
                ),
                isouter=True,
            )
            .where(parked_keys.c.dead_letter_id.in_(letter_ids))
            .group_by(parked_keys.c.dead_letter_id)
        )
        return dict((await connection.execute(statement)).all())

    async def edit(
        self, connection: AsyncConnection, letter_id: str, value: bytes, *, expected: bytes | None, now: datetime
    ) -> bool:
        """Gives the letter another value; False when it is gone, or its value is not *expected* any more."""
        statement = (
            update(dead_letters)
            .where(dead_letters.c.id == letter_id, dead_letters.c.value.is_not_distinct_from(expected))
            .values(value=value, edited_at=now)
        )
        return (await connection.execute(statement)).rowcount == 1


def letter_of(row: Row[tuple[object, ...]]) -> DeadLetter:
    """A row of the table."""
    return DeadLetter(
        row.consumer,
        row.handler,
        row.topic,
        row.partition,
        row.offset,
        row.message_id,
        row.type,
        row.key,
        row.value,
        headers_from_json(row.headers),
        row.error_class,
        row.error_message,
        row.error_stack,
        row.attempts,
        row.failed_at,
        row.id,
        row.timestamp_ms,
        row.tries,
        row.retry_at,
        row.edited_at,
    )
