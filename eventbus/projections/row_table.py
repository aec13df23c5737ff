"""
The rows of one generation in the database: read for a batch, written after it.

Locking     On SQLite the writer's transaction is alone. On PostgreSQL two processes that own two partitions may touch
            the same row, and `FOR UPDATE` cannot lock a row that is not there yet: so a batch first takes advisory
            locks for its keys, in one query and one order, of LOCK_BUCKETS at most (the server's table of locks is
            small), and reads in the next statement, which sees what the lock's last holder has committed.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from sqlalchemy import ColumnElement, Table, bindparam, delete, select, text, tuple_
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database.dialects import is_sqlite
from eventbus.projections.row import Row, RowKey, RowShape
from eventbus.projections.row_statements import RowStatements

LOCK_BUCKETS = 256
PARAMETERS_MAX = 30_000
"""Both databases' drivers refuse statements with more than 32,766 parameters."""

_LOCK = text(
    "SELECT pg_advisory_xact_lock(:space, bucket) FROM unnest(CAST(:buckets AS integer[])) AS bucket"
).bindparams(bindparam("buckets", type_=postgresql.ARRAY(postgresql.INTEGER)))


class RowTable:
    """One table of rows."""

    def __init__(self, shape: RowShape, table: Table) -> None:
        self._shape = shape
        self._table = table
        self._key = [table.c[name] for name in shape.row_type.row_key]
        self._statements = RowStatements(shape, table)
        self._lock_space = zlib.crc32(table.name.encode()) - 2**31

    def matches(self, keys: Sequence[RowKey]) -> ColumnElement[bool]:
        """The condition that a row's key is one of *keys*."""
        if len(self._key) == 1:
            return self._key[0].in_([key[0] for key in keys])
        return tuple_(*self._key).in_(keys)

    async def read_for_update(self, connection: AsyncConnection, keys: Sequence[RowKey]) -> dict[RowKey, Row | None]:
        """The rows of *keys*, None for those that are missing; nobody else changes them until the transaction ends."""
        found: dict[RowKey, Row | None] = dict.fromkeys(keys)
        if not keys:
            return found
        if is_sqlite(connection):
            rows = await self._read_on_sqlite(connection, keys)
        else:
            buckets = sorted({zlib.crc32(repr(key).encode()) % LOCK_BUCKETS for key in keys})
            await connection.execute(_LOCK, {"space": self._lock_space, "buckets": buckets})
            rows = await self._statements.read(connection, keys)
        validate = self._shape.row_type.model_validate
        for values in rows:
            row = validate(values)
            found[self._shape.key(row)] = row
        return found

    async def _read_on_sqlite(self, connection: AsyncConnection, keys: Sequence[RowKey]) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for part in _parts(keys, PARAMETERS_MAX // len(self._key)):
            statement = select(self._table).where(self.matches(part))
            found += [dict(row) for row in (await connection.execute(statement)).mappings()]
        return found

    async def write(
        self, connection: AsyncConnection, before: Mapping[RowKey, Row | None], after: Mapping[RowKey, Row | None]
    ) -> None:
        """Makes the table's rows *after*, writing only what differs from *before*."""
        written = [row for key, row in after.items() if row is not None and row != before[key]]
        deleted = [key for key, row in after.items() if row is None and before[key] is not None]
        if written:
            # In key order, as everywhere: whoever writes these rows without our locks meets them in one order.
            key = self._shape.read_key
            written.sort(key=lambda row: repr(key(row.__dict__)))
            await self._statements.write(connection, written)
        for part in _parts(deleted, PARAMETERS_MAX // len(self._key)):
            await connection.execute(delete(self._table).where(self.matches(part)))


def _parts(keys: Iterable[RowKey], size: int) -> Iterator[list[RowKey]]:
    rest = iter(keys)
    while part := list(islice(rest, size)):
        yield part
