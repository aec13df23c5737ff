"""
Statements of every batch, in each driver's own words.

SQLAlchemy would put them together anew each time, which costs several times what the statement does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from sqlalchemy import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.batches import Value, sqlite_values
from eventbus.database.dialects import is_sqlite

Argument = Value | Sequence[str | int]


@dataclass(frozen=True, slots=True)
class DriverStatement:
    """
    The same statement for each database, with the same arguments in the same order.

    sqlite       a `?` for each; times become text
    postgresql   `$1`, `$2` …
    """

    sqlite: str
    postgresql: str

    async def execute(self, connection: AsyncConnection, *arguments: Argument) -> "CursorResult[tuple[object, ...]]":
        """Its result, in the connection's transaction. Raises what SQLAlchemy raises."""
        if is_sqlite(connection):
            # A list of values is one JSON text here (see `as_list`).
            return await connection.exec_driver_sql(self.sqlite, sqlite_values(cast("tuple[Value, ...]", arguments)))
        return await connection.exec_driver_sql(self.postgresql, arguments)
