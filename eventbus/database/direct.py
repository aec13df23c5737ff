"""
Work that speaks to the driver itself, where SQLAlchemy's share of a statement would be most of it: what every command
does, load a stream and append to it.

SQLite       a function, run in one hop to a connection's thread
PostgreSQL   a coroutine function with an asyncpg connection in autocommit: one statement is one round trip
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Result = TypeVar("Result")
PostgresqlRow = Sequence[object]


class PostgresqlDriver(Protocol):
    """What is used of an asyncpg connection."""

    async def fetch(self, query: str, /, *arguments: object) -> Sequence[PostgresqlRow]:
        """All rows of one statement, which is prepared once a connection."""
        ...

    def is_closed(self) -> bool:
        """Whether the connection is gone."""
        ...


@dataclass(frozen=True, slots=True)
class Direct(Generic[Result]):
    """
    The same work for each driver.

    sqlite       called inside a transaction, which is committed when it returns and rolled back when it raises
    postgresql   outside of any transaction: several statements are several transactions
    """

    sqlite: Callable[[sqlite3.Connection], Result]
    postgresql: Callable[[PostgresqlDriver], Awaitable[Result]]
