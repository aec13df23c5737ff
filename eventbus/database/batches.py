"""
Many rows with one statement: the way in for everything that arrives in batches.

PostgreSQL   INSERT … SELECT FROM unnest(one array a column): one round trip, and one plan for any number of rows
SQLite       a hundred rows a statement, inside one hop to the connection's thread
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table, Text
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.dialects import is_sqlite
from eventbus.database.sqlite_engine import run_on_sqlite
from eventbus.database.sqlite_rows import SqliteRows, SqliteValue
from eventbus.database.times import UtcTime, time_to_text

# Narrower first: BigInteger is an Integer to SQLAlchemy.
_POSTGRESQL_TYPES: Final = (
    (BigInteger, "bigint"),
    (Integer, "integer"),
    (LargeBinary, "bytea"),
    (UtcTime, "timestamptz"),
    (Text, "text"),
)
Value = str | int | bytes | datetime | None


class BatchInsert:
    """
    Inserts rows into *columns* of *table*, in their order.

    or_nothing   a row that is there already (any unique constraint) is left as it is; otherwise it is an IntegrityError
    ending       any other ON CONFLICT clause
    """

    def __init__(self, table: Table, *columns: str, or_nothing: bool = False, ending: str = "") -> None:
        self._names = ", ".join(f'"{name}"' for name in columns)
        self.types = [_type(table.c[name]) for name in columns]
        self._table = table.name
        marks = ", ".join("?" for _ in columns)
        self.width = len(columns)
        self.ending = " ON CONFLICT DO NOTHING" if or_nothing else ending
        self.sqlite = f"INSERT INTO {self._table} ({self._names}) VALUES ({marks}){self.ending}"  # noqa: S608 (our names)
        self.postgresql = f"{self.select_from_arrays()}{self.ending}"
        self._on_sqlite = SqliteRows(f"INSERT INTO {self._table} ({self._names})", self.width, self.ending)

    def select_from_arrays(self, first_parameter: int = 1) -> str:
        """PostgreSQL's insert without an ending, for statements that it is a part of; an array a column."""
        arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(self.types, start=first_parameter))
        return f"INSERT INTO {self._table} ({self._names}) SELECT * FROM unnest({arrays})"  # noqa: S608 (our names)

    def select_of_units(self, first_parameter: int, condition: str) -> str:
        """
        The same, each row with the number of the unit that it belongs to in a last array, for the rows of the units
        that meet *condition* (on `unit`).
        """
        kinds = (*self.types, "integer")
        given = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(kinds, start=first_parameter))
        return (
            f"INSERT INTO {self._table} ({self._names}) SELECT {self._names} "  # noqa: S608 (our names)
            f"FROM unnest({given}) AS given({self._names}, unit) WHERE {condition}"
        )

    async def execute(self, connection: AsyncConnection, rows: Sequence[tuple[Value, ...]]) -> None:
        """Insert *rows*, each with a value per column; none is nothing."""
        if not rows:
            return
        if is_sqlite(connection):
            values = [sqlite_values(row) for row in rows]
            await run_on_sqlite(connection, lambda database: self.insert_on_sqlite(database, values))
        else:
            await connection.exec_driver_sql(self.postgresql, arrays(rows))

    def insert_on_sqlite(self, database: sqlite3.Connection, values: Sequence[Sequence[SqliteValue]]) -> None:
        """The same in the thread of a connection, which is to be left soon: *values* are rows of `sqlite_values`."""
        self._on_sqlite.insert(database, values)


def sqlite_values(row: tuple[Value, ...]) -> tuple[str | int | bytes | None, ...]:
    """The row as SQLite's driver takes it."""
    return tuple(time_to_text(value) if isinstance(value, datetime) else value for value in row)


def arrays(rows: Sequence[tuple[Value, ...]]) -> tuple[list[Value], ...]:
    """One list a column."""
    return tuple(list(column) for column in zip(*rows, strict=True))


def _type(column: Column[object]) -> str:
    return next(name for kind, name in _POSTGRESQL_TYPES if isinstance(column.type, kind))
