"""
The rows of one generation in the database: read for a batch, written after it.

Locking     On SQLite the writer's transaction is alone. On PostgreSQL two processes that own two partitions may touch
            the same row, and `FOR UPDATE` cannot lock a row that is not there yet: so a batch first takes advisory
            locks for its keys, in one order, of LOCK_BUCKETS at most (the server's table of locks is small), and reads
            in the next statement.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from sqlalchemy import ColumnElement, Table, bindparam, delete, select, text, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.projections.row import Row, RowKey, RowShape

LOCK_BUCKETS = 256
PARAMETERS_MAX = 30_000
"""Both databases' drivers refuse statements with more than 32,766 parameters."""

_LOCK = text(
    "SELECT pg_advisory_xact_lock(:space, bucket) FROM unnest(CAST(:buckets AS integer[])) AS bucket"
).bindparams(bindparam("buckets", type_=postgresql.ARRAY(postgresql.INTEGER)))


class RowTable:
    """One table of rows. Its statements are compiled once."""

    def __init__(self, shape: RowShape, table: Table) -> None:
        self._shape = shape
        self._table = table
        self._key = [table.c[name] for name in shape.row_type.row_key]
        rest = [column.name for column in shape.columns if column.name not in shape.row_type.row_key]
        self._names = [column.name for column in table.columns]
        self._lock_space = zlib.crc32(table.name.encode()) - 2**31
        upsert_postgresql, upsert_sqlite = postgresql.insert(table), sqlite.insert(table)
        if rest:
            self._upsert_postgresql = upsert_postgresql.on_conflict_do_update(
                index_elements=self._key, set_={name: upsert_postgresql.excluded[name] for name in rest}
            )
            self._upsert_sqlite = upsert_sqlite.on_conflict_do_update(
                index_elements=self._key, set_={name: upsert_sqlite.excluded[name] for name in rest}
            )
        else:
            self._upsert_postgresql = upsert_postgresql.on_conflict_do_nothing()
            self._upsert_sqlite = upsert_sqlite.on_conflict_do_nothing()

    def matches(self, keys: Sequence[RowKey]) -> ColumnElement[bool]:
        """The condition that a row's key is one of *keys*."""
        if len(self._key) == 1:
            return self._key[0].in_([key[0] for key in keys])
        return tuple_(*self._key).in_(keys)

    async def read_for_update(self, connection: AsyncConnection, keys: Sequence[RowKey]) -> dict[RowKey, Row | None]:
        """The rows of *keys*, None for those that are missing; nobody else changes them until the transaction ends."""
        if connection.dialect.name == "postgresql":
            buckets = sorted({zlib.crc32(repr(key).encode()) % LOCK_BUCKETS for key in keys})
            await connection.execute(_LOCK, {"space": self._lock_space, "buckets": buckets})
        found: dict[RowKey, Row | None] = dict.fromkeys(keys)
        for part in _parts(keys, PARAMETERS_MAX // len(self._key)):
            statement = select(self._table).where(self.matches(part)).order_by(*self._key).with_for_update()
            for values in await connection.execute(statement):
                row = self._shape.row_type.model_validate(dict(zip(self._names, values, strict=True)))
                found[self._shape.key(row)] = row
        return found

    async def write(
        self, connection: AsyncConnection, before: Mapping[RowKey, Row | None], after: Mapping[RowKey, Row | None]
    ) -> None:
        """Makes the table's rows *after*, writing only what differs from *before*."""
        written = [row for key, row in after.items() if row is not None and row != before[key]]
        deleted = [key for key, row in after.items() if row is None and before[key] is not None]
        if written:
            # In key order, as everywhere: whoever writes these rows without our locks meets them in one order.
            written.sort(key=lambda row: repr(self._shape.key(row)))
            upsert = self._upsert_postgresql if connection.dialect.name == "postgresql" else self._upsert_sqlite
            await connection.execute(upsert, [self._shape.values(row) for row in written])
        for part in _parts(deleted, PARAMETERS_MAX // len(self._key)):
            await connection.execute(delete(self._table).where(self.matches(part)))


def _parts(keys: Iterable[RowKey], size: int) -> Iterator[list[RowKey]]:
    rest = iter(keys)
    while part := list(islice(rest, size)):
        yield part
