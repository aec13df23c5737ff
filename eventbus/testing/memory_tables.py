"""The tables of projections in memory, for one test at a time: real ones, which go with the end of the block."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database import Database, Migrations
from eventbus.projections import Build

Rows = list[dict[str, object]]
"""The rows of one table, by column, in the order of their text."""


@asynccontextmanager
async def memory_database() -> AsyncGenerator[Database]:
    """A database with the framework's tables, and nothing in them."""
    database = Database.from_url("memory:")
    try:
        await Migrations(database).upgrade()
        yield database
    finally:
        await database.aclose()


async def rows_of(connection: AsyncConnection, build: Build) -> tuple[Rows, ...]:
    """What is in each table of *build* as the connection's transaction sees it, in the order of their declaration."""
    tables: list[Rows] = []
    for table in build.tables:
        found = (await connection.execute(select(table))).mappings()
        tables.append(sorted(({str(name): value for name, value in row.items()} for row in found), key=repr))
    return tuple(tables)
