"""
Times in the database: aware, UTC, with microseconds.

PostgreSQL   timestamptz
SQLite       text, `2026-01-31T12:00:00.000000Z`: sorts as time does, and reads as what it is
"""

from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy import DateTime, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine


class UtcTime(TypeDecorator[datetime]):
    """A column of aware times. A naive one is refused with ValueError: it says nothing about where it was read."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime] | TypeEngine[str]:
        return Text() if dialect.name == "sqlite" else DateTime(timezone=True)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        if value is None:
            return None
        return time_to_text(value) if dialect.name == "sqlite" else _aware(value)

    def process_result_value(self, value: datetime | str | None, dialect: Dialect) -> datetime | None:
        return datetime.fromisoformat(value) if isinstance(value, str) else value


# The rows of a command share its time, and each has it twice.
@lru_cache(maxsize=1024)
def time_to_text(time: datetime) -> str:
    """An aware time as SQLite holds it."""
    if time.tzinfo is UTC:
        return time.isoformat(timespec="microseconds")[:-6] + "Z"
    return _aware(time).astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _aware(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError(f"{time.isoformat()} has no time zone: use an aware time, such as datetime.now(UTC)")
    return time
