"""
Copies one table from one database to another. The copy itself is the memory of how far it has come.

Rows go in the order of the source's key, a batch a transaction, so what the target holds is at every moment the first
rows. A copy that was killed reads the source from its start, and writes from where the target's rows end. Then the
target is read back, and compared.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy import Table, delete, func, insert, literal, select, tuple_
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database import Database
from eventbus.migration.checksum import RowChecksum
from eventbus.migration.log_copy import Progress
from eventbus.migration.logs import MigrationRefused
from eventbus.migration.translation import Row

_BATCH: Final = 2_000

Change = Callable[[str, Sequence[Row]], list[Row]]
"""What the rows of a table become."""


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """*written*: how many rows this run has written; the others were there."""

    name: str
    rows: int
    written: int
    checksum: str


class TableCopy:
    """One table, read on *source*, whose transaction keeps others from writing to it."""

    def __init__(
        self, source: AsyncConnection, target: Database, table: Table, change: Change, progress: Progress
    ) -> None:
        self._source, self._target, self._table = source, target, table
        self._change, self._progress = change, progress

    async def run(self, *, only_compare: bool) -> CopiedTable:
        """
        Copies and compares; a copy that differs, since the source has changed after a run was killed, is made anew.

        With *only_compare* nothing is written. Raises MigrationRefused.
        """
        wanted, written = await self._copy(write=not only_compare)
        found = await self._found()
        if _differ(wanted, found) and not only_compare:
            async with self._target.transaction() as connection:
                await connection.execute(delete(self._table))
            wanted, written = await self._copy(write=True)
            found = await self._found()
        if _differ(wanted, found):
            raise MigrationRefused(
                f"{self._target.name}: {self._table.name} has {found.rows} rows with checksum {found.text()}, where "
                f"{wanted.rows} with {wanted.text()} were to be: it is in use already, or another service's; give an "
                "empty database"
            )
        return CopiedTable(self._table.name, wanted.rows, written, wanted.text())

    async def _copy(self, *, write: bool) -> tuple[RowChecksum, int]:
        async with self._target.reading() as connection:
            there = await count(connection, self._table)
        wanted, written = RowChecksum(), 0
        async for rows in every(self._source, self._table):
            changed = self._change(self._table.name, rows)
            missing = changed[max(0, there - wanted.rows) :]
            for row in changed:
                wanted.add(row)
            if missing and write:
                await self._insert(missing)
                written += len(missing)
            self._progress.advance(len(rows))
        return wanted, written

    async def _insert(self, rows: Sequence[Row]) -> None:
        try:
            async with self._target.transaction() as connection:
                await connection.execute(insert(self._table), list(rows))
        except DBAPIError as error:
            raise MigrationRefused(
                f"{self._target.name}: {self._table.name} does not take a row: {error.orig} (PostgreSQL "
                "keeps no NUL in text, for one)"
            ) from error

    async def _found(self) -> RowChecksum:
        found = RowChecksum()
        async with self._target.reading() as connection:
            async for rows in every(connection, self._table):
                for row in rows:
                    found.add(row)
                self._progress.advance(len(rows))
        return found


async def count(connection: AsyncConnection, table: Table) -> int:
    """How many rows it has."""
    return cast("int", await connection.scalar(select(func.count()).select_from(table)))


async def every(connection: AsyncConnection, table: Table) -> AsyncGenerator[list[Row]]:
    """All rows in the order of the key, some at a time."""
    key = list(table.primary_key.columns)
    if not key:
        raise MigrationRefused(f"table {table.name} has no primary key: it cannot be read in an order")
    after: list[object] | None = None
    while True:
        statement = select(table).order_by(*key).limit(_BATCH)
        if after is not None:
            values = [literal(value, type_=column.type) for value, column in zip(after, key, strict=True)]
            # One column is compared by itself: with a tuple SQLite would not use the index of a WITHOUT ROWID table.
            statement = statement.where(key[0] > values[0] if len(key) == 1 else tuple_(*key) > tuple_(*values))
        rows: list[Row] = [dict(row) for row in (await connection.execute(statement)).mappings()]
        if rows:
            yield rows
        if len(rows) < _BATCH:
            return
        after = [rows[-1][column.name] for column in key]


def _differ(wanted: RowChecksum, found: RowChecksum) -> bool:
    return (wanted.rows, wanted.text()) != (found.rows, found.text())
