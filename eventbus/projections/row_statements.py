"""
The statements of one table of rows, each for any number of rows at once.

PostgreSQL   an array a column: one round trip, one plan. Rows are found by a look at the primary key for each, because
             a join or an IN would be planned while the table is empty, to read all of it
SQLite       a hundred rows a statement, in one hop to the writer's thread
"""

from collections.abc import Callable, Sequence
from typing import cast

from sqlalchemy import Table, bindparam, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import TextualSelect

from eventbus.database.dialects import is_sqlite
from eventbus.database.sqlite_engine import run_on_sqlite
from eventbus.database.sqlite_rows import SqliteRows, SqliteValue
from eventbus.projections.columns import ColumnType, JsonDocument
from eventbus.projections.row import Row, RowShape

_Processor = Callable[[object], object]
_POSTGRESQL = cast("Dialect", postgresql.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy's own has no types


class RowStatements:
    """Reads by keys on PostgreSQL, and writes on both."""

    def __init__(self, shape: RowShape, table: Table) -> None:
        columns = list(table.columns)
        key = shape.row_type.row_key
        names = [f'"{column.name}"' for column in columns]
        keys = ", ".join(f'"{name}"' for name in key)
        rest = [name for name, column in zip(names, columns, strict=True) if column.name not in key]
        updates = ", ".join(f"{name} = excluded.{name}" for name in rest)
        conflict = f"ON CONFLICT ({keys}) DO " + (f"UPDATE SET {updates}" if rest else "NOTHING")
        insert = f"INSERT INTO {table.name} ({', '.join(names)})"
        is_json = [isinstance(column.type, JsonDocument) for column in columns]
        kinds = ["text" if isinstance(one.type, JsonDocument) else _postgresql_type(one.type) for one in columns]
        arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(kinds, start=1))
        values = ", ".join(f"{name}::jsonb" if json else name for name, json in zip(names, is_json, strict=True))
        self._upsert_on_postgresql = (
            f"{insert} SELECT {values} FROM unnest({arrays}) AS given({', '.join(names)}) {conflict}"  # noqa: S608 (the names of a class's fields)
        )
        self._upsert_on_sqlite = SqliteRows(insert, len(names), conflict)
        self._fields = [(column.name, shape.column(column.name).dump) for column in columns]
        self._columns = columns
        self._processors: list[_Processor | None] | None = None
        self._key = key
        self._reading = self._read_by_keys(table)

    def _read_by_keys(self, table: Table) -> TextualSelect:
        kinds = [_postgresql_type(table.c[name].type) for name in self._key]
        given = ", ".join(f"CAST(:k{number} AS {kind}[])" for number, kind in enumerate(kinds))
        names = ", ".join(f'"{column.name}"' for column in table.columns)
        found = ", ".join(f'found."{column.name}"' for column in table.columns)
        matches = " AND ".join(f'rows."{name}" = given.k{number}' for number, name in enumerate(self._key))
        statement = text(
            f"SELECT {found} FROM unnest({given}) AS given({', '.join(f'k{n}' for n in range(len(kinds)))}) "  # noqa: S608
            f"CROSS JOIN LATERAL (SELECT {names} FROM {table.name} rows WHERE {matches} OFFSET 0) AS found"
        )
        arrays = [
            bindparam(f"k{number}", type_=postgresql.ARRAY(table.c[name].type)) for number, name in enumerate(self._key)
        ]
        return statement.bindparams(*arrays).columns(*table.columns)

    async def read(self, connection: AsyncConnection, keys: Sequence[tuple[object, ...]]) -> list[dict[str, object]]:
        """PostgreSQL only: the rows of *keys* that are there."""
        values = {f"k{number}": list(column) for number, column in enumerate(zip(*keys, strict=True))}
        return [dict(row) for row in (await connection.execute(self._reading, values)).mappings()]

    async def write(self, connection: AsyncConnection, rows: Sequence[Row]) -> None:
        """Inserts the rows, or puts them in the place of those that have their keys."""
        columns = self._transposed(rows, self._processors_of(connection.dialect))
        if is_sqlite(connection):
            given = cast("list[tuple[SqliteValue, ...]]", list(zip(*columns, strict=True)))
            await run_on_sqlite(connection, lambda driver: self._upsert_on_sqlite.insert(driver, given))
        else:
            await connection.exec_driver_sql(self._upsert_on_postgresql, tuple(columns))

    def _transposed(self, rows: Sequence[Row], processors: Sequence[_Processor | None]) -> list[list[object]]:
        held = [row.__dict__ for row in rows]
        columns: list[list[object]] = []
        for (name, dump), processor in zip(self._fields, processors, strict=True):
            values = [fields[name] for fields in held]
            for convert in (dump, processor):
                if convert is not None:
                    values = [None if value is None else convert(value) for value in values]
            columns.append(values)
        return columns

    def _processors_of(self, dialect: Dialect) -> Sequence[_Processor | None]:
        """What turns a column's value into what the driver takes; a table is of one database."""
        if self._processors is None:
            self._processors = [
                cast("_Processor | None", column.type.dialect_impl(dialect).bind_processor(dialect))
                for column in self._columns
            ]
        return self._processors


def _postgresql_type(kind: ColumnType) -> str:
    return kind.compile(dialect=_POSTGRESQL)
