"""
Moves what one service keeps: to another database, or only over to another log.

Fence    no relay of the service may be alive; the source is held in one transaction, so that nobody writes to it
Target   while it is filled its schema has the revision `migrating`, which every service refuses
In place (no other database) one transaction over the rows that name the log
"""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import anyio
from sqlalchemy import Integer, Table, TextClause, delete, insert, inspect, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database import Database, Migrations
from eventbus.database.leases import SlotLeases
from eventbus.database.migrations import MOVING, REVISIONS, VERSION_TABLE
from eventbus.database.tables import checkpoints, metadata
from eventbus.errors import InvalidConfiguration
from eventbus.migration.database_copy import CopiedTable, TableCopy, count, every
from eventbus.migration.log_copy import Progress
from eventbus.migration.logs import MigrationRefused
from eventbus.migration.service_tables import ServiceTables, service_tables
from eventbus.migration.translation import NAMED, POSITIONED, Row, Translation
from eventbus.projections import AnyProjection

_PATIENCE_SECONDS: Final = 20.0
_PAUSE_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class MovedService:
    """What became of a service's database. `checksums` and counts are of the rows as they are now."""

    service: str
    source: str
    target: str
    tables: Sequence[CopiedTable]
    left_out: Sequence[str]
    foreign: Sequence[str]
    left_rows: int
    was_done: bool


class ServiceMove:
    """
    service       its name, for people
    projections   of its application, whose views are carried over; None: no application was given
    target        another database; None: the rows change where they are
    """

    def __init__(
        self,
        service: str,
        source: Database,
        target: Database | None,
        projections: Sequence[type[AnyProjection]] | None,
    ) -> None:
        self.service = service
        self.source, self.target = source, target
        self._projections = projections

    async def rows(self) -> tuple[ServiceTables, dict[str, int]]:
        """The tables that are to be moved and how many rows each has. Raises what `check` does."""
        async with self.source.reading() as connection:
            tables = await self._tables(connection)
            return tables, {table.name: await count(connection, table) for table in tables.tables}

    async def check(self, progress: Progress) -> None:
        """Raises InvalidConfiguration, SchemaOutdated, and MigrationRefused while the service runs."""
        if self.source.dialect == "sqlite" and not await anyio.Path(self.source.name).exists():
            raise InvalidConfiguration(
                f"{self.service} has no database at {self.source.name}: --from-database says where"
            )
        if self.target is not None and self.target.name == self.source.name:
            raise InvalidConfiguration(f"{self.service}: {self.target.name} is where its data is already")
        await Migrations(self.source).check()
        await self._refuse_relays(self.source, progress)
        if self.target is not None and await Migrations(self.target).current() in REVISIONS:
            await self._refuse_relays(self.target, progress)

    async def run(self, translation: Translation, progress: Progress) -> MovedService:
        """Moves it. Raises MigrationRefused; what was moved is gone on with by the next run."""
        async with self._held() as connection:
            tables = await self._tables(connection)
            if self.target is None:
                copied, was_done = await self._in_place(connection, tables, translation), False
                if copied is None:
                    copied, was_done = [], True
            else:
                copied, was_done = await self._copy(connection, self.target, tables, translation, progress)
        return MovedService(
            self.service,
            self.source.name,
            (self.target or self.source).name,
            copied,
            [f"{name}: {reason}" for name, reason in tables.left_out.items()] if self.target is not None else [],
            tables.foreign if self.target is not None else [],
            translation.left,
            was_done,
        )

    async def _tables(self, connection: AsyncConnection) -> ServiceTables:
        return await service_tables(connection, self._projections or (), app_given=self._projections is not None)

    async def _refuse_relays(self, database: Database, progress: Progress) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            async with database.reading() as connection:
                alive = await SlotLeases().alive(connection)
            if not alive:
                return
            if time.monotonic() > until:
                raise MigrationRefused(
                    f"{self.service} is running ({', '.join(alive)} on {database.name}): stop every process of it first"
                )
            progress.say(f"waiting for the leases of {', '.join(alive)} to run out, if it was killed")
            await anyio.sleep(_PAUSE_SECONDS)

    @asynccontextmanager
    async def _held(self) -> AsyncGenerator[AsyncConnection]:
        async with self.source.transaction() as connection:
            if self.source.dialect == "postgresql":
                # On SQLite the transaction itself is the only one that writes.
                names = ", ".join(sorted(metadata.tables))
                await connection.execute(text(f"LOCK TABLE {names} IN EXCLUSIVE MODE"))
            yield connection

    async def _in_place(
        self, connection: AsyncConnection, tables: ServiceTables, translation: Translation
    ) -> list[CopiedTable] | None:
        """None: it was done before."""
        marks = await connection.execute(select(checkpoints.c.cluster_id, checkpoints.c.topic_id))
        if any(translation.is_done(cluster_id, topic_id) for cluster_id, topic_id in marks):
            return None
        changed: list[CopiedTable] = []
        for table in tables.framework:
            if table.name in POSITIONED:
                rows = [row async for some in every(connection, table) for row in some]
                new = translation.rows(table.name, rows)
                if new != rows:
                    await connection.execute(delete(table))
                    if new:
                        await connection.execute(insert(table), new)
                    changed.append(CopiedTable(table.name, len(new), len(new), ""))
            elif table.name in NAMED:
                for name, new_name in translation.renamed.items():
                    statement = update(table).where(table.c.topic == name).values(topic=new_name)
                    await connection.execute(statement)
        return changed

    async def _copy(
        self,
        connection: AsyncConnection,
        target: Database,
        tables: ServiceTables,
        translation: Translation,
        progress: Progress,
    ) -> tuple[list[CopiedTable], bool]:
        was_done = await self._begin(target, tables)

        def change(table: str, rows: Sequence[Row]) -> list[Row]:
            return translation.rows(table, tables.kept(table, rows))

        copied = [
            await TableCopy(connection, target, table, change, progress).run(only_compare=was_done)
            for table in tables.tables
        ]
        if not was_done:
            await self._finish(connection, target, tables)
        return copied, was_done

    async def _begin(self, target: Database, tables: ServiceTables) -> bool:
        """Makes the tables; True when the target holds a service's data, and is not being filled by a move."""
        revision = await Migrations(target).current()
        if revision is None:
            await Migrations(target).upgrade()
        elif revision != MOVING:
            await Migrations(target).check()
        async with target.transaction() as connection:
            names = set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
            if revision not in (None, MOVING):
                for table in tables.tables:
                    if table.name in names and await count(connection, table):
                        return True
            for table in tables.tables:
                if table.name not in metadata.tables:
                    await connection.run_sync(table.metadata.create_all)
            await connection.execute(_revision(MOVING))
        return False

    async def _finish(self, source: AsyncConnection, target: Database, tables: ServiceTables) -> None:
        used: dict[str, int] = {}
        if self.source.dialect == "sqlite":
            found = await source.execute(text("SELECT name, seq FROM sqlite_sequence"))
            used = {str(name): int(seq) for name, seq in found}
        async with target.transaction() as connection:
            if target.dialect == "postgresql":
                for table in tables.tables:
                    await _go_on_counting(connection, table, used.get(table.name, 0))
            await connection.execute(_revision(REVISIONS[-1]))


async def _go_on_counting(connection: AsyncConnection, table: Table, used: int) -> None:
    """Numbers that the database gives go on behind those that were copied, and those that were used."""
    for column in table.primary_key.columns:
        if not isinstance(column.type, Integer):
            continue
        names = {"table": f'"{table.name}"', "column": column.name}
        sequence = await connection.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), names)
        if sequence is not None:
            highest = await connection.scalar(select(column).order_by(column.desc()).limit(1))
            if (last := max(used, int(highest or 0))) > 0:
                await connection.execute(
                    text("SELECT setval(CAST(:sequence AS regclass), :last)"), {"sequence": sequence, "last": last}
                )


def _revision(revision: str) -> TextClause:
    return text(f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")  # noqa: S608 (our own words)
