"""
Per stream of a service, the last version that a generation has applied: `view_<projection>_<n>_streams`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from sqlalchemy import BigInteger, Column, MetaData, Table, Text
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.batches import BatchInsert
from eventbus.database.dialects import is_sqlite

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
        version = f"SELECT version FROM {name} v WHERE v.source = given.source AND v.stream = given.stream"  # noqa: S608 (our own names)
        given = "unnest($1::text[], $2::text[]) AS given(source, stream)"
        self._read_on_postgresql = f"SELECT source, stream, ({version}) FROM {given}"  # noqa: S608
        names = "json_extract(value, '$[0]') AS source, json_extract(value, '$[1]') AS stream"
        given = f"(SELECT {names} FROM json_each(?)) AS given"  # noqa: S608
        self._read_on_sqlite = f"SELECT source, stream, ({version}) FROM {given}"  # noqa: S608
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
            found = await connection.exec_driver_sql(self._read_on_sqlite, (json.dumps(streams),))
        else:
            names = ([source for source, _ in streams], [stream for _, stream in streams])
            found = await connection.exec_driver_sql(self._read_on_postgresql, names)
        rows = cast("Iterable[tuple[str, str, int | None]]", found)
        return {(source, stream): version for source, stream, version in rows if version is not None}

    async def write(self, connection: AsyncConnection, versions: Mapping[Stream, int]) -> None:
        """Each stream has come to its version."""
        # In one order, as everywhere: two transactions that meet in the same streams wait, and never for each other.
        rows = [(source, stream, version) for (source, stream), version in sorted(versions.items())]
        await self._write.execute(connection, rows)
