"""
One statement in two dialects, where SQLAlchemy Core has no common word for it.

The difference is nearly always how a list reaches the database in one parameter: PostgreSQL takes an array (`unnest`),
SQLite a JSON text (`json_each`).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Table, TextClause
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Statement:
    """The same statement, with the same parameters, for each database."""

    sqlite: TextClause
    postgresql: TextClause

    def on(self, connection: AsyncConnection) -> TextClause:
        """The one that *connection* understands."""
        return self.sqlite if is_sqlite(connection) else self.postgresql


def is_sqlite(connection: AsyncConnection) -> bool:
    """Whether the database is SQLite; otherwise it is PostgreSQL."""
    return connection.dialect.name == "sqlite"


def as_list(connection: AsyncConnection, values: Sequence[str | int]) -> list[str | int] | str:
    """*values* as one parameter: for `unnest(CAST(:p AS …[]))`, or for `json_each(:p)`."""
    return json.dumps(list(values)) if is_sqlite(connection) else list(values)


def insert_into(connection: AsyncConnection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An insert that knows ON CONFLICT, which both databases have and SQLAlchemy keeps apart."""
    return sqlite.insert(table) if is_sqlite(connection) else postgresql.insert(table)
