"""
Records that kept failing, or could not be decoded: kept as they came, with what went wrong, for the person on call.
"""

import base64
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.batches import BatchInsert
from eventbus.database.tables import dead_letters

Headers = tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that one handler could not handle; *handler* is None when nobody could, as it could not be decoded."""

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
                    _headers_to_json(letter.headers),
                    letter.error_class,
                    letter.error_message,
                    letter.error_stack,
                    letter.attempts,
                    letter.failed_at,
                    letter.id,
                )
                for letter in letters
            ],
        )

    async def list(
        self,
        connection: AsyncConnection,
        *,
        consumer: str | None = None,
        handler: str | None = None,
        topic: str | None = None,
        limit: int = 100,
    ) -> list[DeadLetter]:
        """The latest *limit* letters that match all that is given, the latest first."""
        statement = _SELECT.order_by(dead_letters.c.failed_at.desc(), dead_letters.c.id).limit(limit)
        if consumer is not None:
            statement = statement.where(dead_letters.c.consumer == consumer)
        if handler is not None:
            statement = statement.where(dead_letters.c.handler == handler)
        if topic is not None:
            statement = statement.where(dead_letters.c.topic == topic)
        return [_letter(row) for row in await connection.execute(statement)]

    async def show(self, connection: AsyncConnection, letter_id: str) -> DeadLetter | None:
        """The letter; None when there is none of that id."""
        row = (await connection.execute(_SELECT.where(dead_letters.c.id == letter_id))).one_or_none()
        return None if row is None else _letter(row)

    async def count(self, connection: AsyncConnection) -> dict[str, int]:
        """How many letters each consumer has; those without any are missing."""
        statement = select(dead_letters.c.consumer, func.count()).group_by(dead_letters.c.consumer)
        return dict((await connection.execute(statement)).all())


def _letter(row: Row[tuple[object, ...]]) -> DeadLetter:
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
        _headers_from_json(row.headers),
        row.error_class,
        row.error_message,
        row.error_stack,
        row.attempts,
        row.failed_at,
        row.id,
    )


def _headers_to_json(headers: Headers) -> str:
    """Text where it is text, so that a person can read it; other bytes in base64."""
    shown: list[list[str | None]] = []
    for name, value in headers:
        try:
            shown.append([name, None if value is None else value.decode()])
        except UnicodeDecodeError:
            shown.append([name, None, base64.b64encode(value or b"").decode()])
    return json.dumps(shown, ensure_ascii=False)


def _headers_from_json(headers: str) -> Headers:
    rows: list[list[str | None]] = json.loads(headers)
    return tuple((row[0] or "", _header_value(row)) for row in rows)


def _header_value(row: list[str | None]) -> bytes | None:
    match row:
        case [_, None, str() as encoded]:
            return base64.b64decode(encoded)
        case [_, str() as value]:
            return value.encode()
        case _:
            return None
