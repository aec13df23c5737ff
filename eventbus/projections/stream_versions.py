"""
Per stream of a service, the last version that a generation has applied: `view_<projection>_<n>_streams`.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from sqlalchemy import BigInteger, Column, MetaData, Table, Text
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.batches import BatchInsert
from eventbus.database.dialects import is_sqlite
from eventbus.database.sqlite_engine import run_on_sqlite

Stream = tuple[str, str]
"""The service that recorded it, and its name there: two services may have an Order-o-1 each."""


class StreamVersions:
    """One such table."""

    def __init__(self, name: str) -> None:
        self.table = Table(
            name,
            MetaData(),
            Column("source", Text, primary_key=True),
            Column("stream", Text, primary_key=True),
            Column("version", BigInteger, nullable=False),
        )
        # A look at the primary key for each stream: a join would be planned while the table is empty, to read it all.
        self._read_on_postgresql = (
            "SELECT source, stream, version FROM unnest($1::text[], $2::text[]) AS given(source, stream) "  # noqa: S608
            f"CROSS JOIN LATERAL (SELECT version FROM {name} v "
            "WHERE v.source = given.source AND v.stream = given.stream OFFSET 0) AS found"
        )
        # One row for all of them: each is a turn at the interpreter.
        self._read_on_sqlite = (
            f"SELECT json_group_object(stream, version) FROM {name} "  # noqa: S608
            "WHERE source = ? AND stream IN (SELECT value FROM json_each(?))"
        )
        self._write = BatchInsert(
            self.table,
            *("source", "stream", "version"),
            ending=" ON CONFLICT (source, stream) DO UPDATE SET version = excluded.version",
        )

    async def read(self, connection: AsyncConnection, streams: Sequence[Stream]) -> dict[Stream, int]:
        """The versions of those that have one."""
        if not streams:
            return {}
        if is_sqlite(connection):
            return await run_on_sqlite(connection, lambda database: self._read(database, streams))
        names = ([source for source, _ in streams], [stream for _, stream in streams])
        found = await connection.exec_driver_sql(self._read_on_postgresql, names)
        rows = cast("Iterable[tuple[str, str, int]]", found)
        return {(source, stream): version for source, stream, version in rows}

    def _read(self, database: sqlite3.Connection, streams: Sequence[Stream]) -> dict[Stream, int]:
        names: dict[str, list[str]] = {}
        for source, stream in streams:
            names.setdefault(source, []).append(stream)
        found: dict[Stream, int] = {}
        for source, given in names.items():
            versions: str = database.execute(self._read_on_sqlite, (source, json.dumps(given))).fetchone()[0]
            found |= {(source, stream): version for stream, version in json.loads(versions).items()}
        return found

    async def write(self, connection: AsyncConnection, versions: Mapping[Stream, int]) -> None:
        """Each stream has come to its version."""
        # In one order, as everywhere: two transactions that meet in the same streams wait, and never for each other.
        rows = [(source, stream, version) for (source, stream), version in sorted(versions.items())]
        await self._write.execute(connection, rows)
