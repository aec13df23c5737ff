"""
What reads a projection: always the live generation, in one snapshot.

    async def get_order(query: GetOrder, view: View[OrderSummaries]) -> OrderSummary | None:
        return await view.get(query.order_id)
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar, cast

from sqlalchemy import Column, ColumnElement, Table, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.visitors import ExternallyTraversible, replacement_traverse

from eventbus.database.engine import Database
from eventbus.database.tables import generations
from eventbus.errors import SchemaOutdated
from eventbus.projections.definition import AnyProjection
from eventbus.projections.generations import check_version
from eventbus.projections.projection import Projection
from eventbus.projections.row import Row
from eventbus.projections.row_projection import RowProjection

P_co = TypeVar("P_co", bound=AnyProjection, covariant=True)
R = TypeVar("R", bound=Row)

ROWS_MAX = 100
"""What `select` answers at most, unless it is told another limit."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The live generation of a Projection, inside one snapshot of the database."""

    connection: AsyncConnection
    projection: Projection

    def table(self, declared: Table) -> Table:
        """The live table for the one that the projection declares."""
        return self.projection.table(declared)


class View(Generic[P_co]):
    """
    Reads the live generation of the projection P. Every call is a snapshot of its own; it sees what has been applied.

    Raises SchemaOutdated when the live generation is not of this code's version; DatabaseUnavailable.
    """

    def __init__(self, projection: type[P_co], database: Database) -> None:
        self._projection: type[AnyProjection] = projection
        self._database = database
        self._tables: dict[int, tuple[Table, ...]] = {}

    @property
    def columns(self: "View[RowProjection[R]]") -> ReadOnlyColumnCollection[str, Column[object]]:
        """The row's columns, for conditions: `view.columns.total > 5`."""
        return cast("ReadOnlyColumnCollection[str, Column[object]]", self._rows.shape().template.c)

    async def get(self: "View[RowProjection[R]]", key: object) -> R | None:
        """The row of this key (a tuple for a key of several fields); None when there is none."""
        shape = self._rows.shape()
        values = cast("tuple[object, ...]", key) if isinstance(key, tuple) else (key,)
        if len(values) != len(shape.key_columns):
            raise TypeError(
                f"the key of {self._rows.row_type.__name__} is {self._rows.row_type.row_key!r}, not {key!r}"
            )
        conditions = [
            shape.template.c[column.name] == (value if column.dump is None else column.dump(value))
            for column, value in zip(shape.key_columns, values, strict=True)
        ]
        found = await self._fetch(conditions, (), 1, 0)
        return found[0] if found else None

    async def select(
        self: "View[RowProjection[R]]",
        *conditions: ColumnElement[bool],
        order_by: str | Sequence[str] = (),
        limit: int = ROWS_MAX,
        offset: int = 0,
        **equals: object,
    ) -> list[R]:
        """
        The rows that match all conditions: expressions on `view.columns`, and `field=value`.

        order_by     names of fields, "-total" for descending; the key decides what is left open
        """
        names = (order_by,) if isinstance(order_by, str) else tuple(order_by)
        return await self._fetch([*conditions, *self._equalities(equals)], names, limit, offset)

    async def count(self: "View[RowProjection[R]]", *conditions: ColumnElement[bool], **equals: object) -> int:
        """How many rows match all conditions."""
        matching = [*conditions, *self._equalities(equals)]
        async with self._database.reading() as connection:
            (table,) = await self._live_tables(connection)
            statement = select(func.count()).select_from(table).where(*self._on(table, matching))
            return (await connection.execute(statement)).scalar_one()

    @asynccontextmanager
    async def reading(self: "View[Projection]") -> AsyncGenerator[Snapshot]:
        """A snapshot to select from with SQLAlchemy: `snapshot.connection`, `snapshot.table(declared)`."""
        projection = self._projection
        if not issubclass(projection, Projection):
            raise TypeError(f"{projection.__name__} has rows: use get, select and count")
        async with self._database.reading() as connection:
            yield Snapshot(connection, projection.at(await self._live_tables(connection)))

    @property
    def _rows(self: "View[RowProjection[R]]") -> type[RowProjection[R]]:
        if not issubclass(self._projection, RowProjection):
            raise TypeError(f"{self._projection.__name__} has no rows: use `async with view.reading() as snapshot`")
        return cast("type[RowProjection[R]]", self._projection)

    def _equalities(self: "View[RowProjection[R]]", equals: dict[str, object]) -> list[ColumnElement[bool]]:
        shape = self._rows.shape()
        by_name = {column.name: column for column in shape.columns}
        conditions: list[ColumnElement[bool]] = []
        for name, value in equals.items():
            column = by_name.get(name)
            if column is None:
                raise TypeError(f"{self._rows.row_type.__name__} has no field {name!r}; it has {', '.join(by_name)}")
            held = value if column.dump is None or value is None else column.dump(value)
            conditions.append(shape.template.c[name] == held)
        return conditions

    async def _fetch(
        self: "View[RowProjection[R]]",
        conditions: Sequence[ColumnElement[bool]],
        order_by: Sequence[str],
        limit: int,
        offset: int,
    ) -> list[R]:
        row_type = self._rows.row_type
        async with self._database.reading() as connection:
            (table,) = await self._live_tables(connection)
            statement = (
                select(table).where(*self._on(table, conditions)).order_by(*_ordering(table, order_by, row_type))
            )
            result = await connection.execute(statement.limit(limit).offset(offset))
            names = tuple(result.keys())
            rows = [row_type.model_validate(dict(zip(names, values, strict=True))) for values in result]
        return cast("list[R]", rows)

    def _on(
        self: "View[RowProjection[R]]", table: Table, conditions: Sequence[ColumnElement[bool]]
    ) -> list[ColumnElement[bool]]:
        """The conditions with the live table in the template's place."""
        replace = partial(_live_column, self._rows.shape().template, table)
        return [replacement_traverse(condition, {}, replace) for condition in conditions]

    async def _live_tables(self, connection: AsyncConnection) -> tuple[Table, ...]:
        name = self._projection.projection_name
        live = (await connection.execute(_LIVE, {"projection": name})).one_or_none()
        if live is None:
            raise SchemaOutdated(f"projection {name!r} has no tables here yet: start the service once, it makes them")
        number, version = cast("tuple[int, int]", tuple(live))
        check_version(self._projection, live_version=version, generation=number)
        tables = self._tables.get(number)
        if tables is None:
            tables = self._tables[number] = self._projection.tables(number)
        return tables


_LIVE = select(generations.c.generation, generations.c.version).where(
    generations.c.projection == bindparam("projection"), generations.c.state == "live"
)


def _live_column(template: Table, table: Table, element: ExternallyTraversible, **_: object) -> object | None:
    return table.c[element.key] if isinstance(element, Column) and element.table is template else None


def _ordering(table: Table, names: Sequence[str], row_type: type[Row]) -> list[ColumnElement[object]]:
    ordering: list[ColumnElement[object]] = []
    for name in (*names, *row_type.row_key):
        column = table.c.get(name.removeprefix("-"))
        if column is None:
            raise TypeError(
                f"{row_type.__name__} has no field {name!r} to order by; it has {', '.join(table.c.keys())}"
            )
        ordering.append(column.desc() if name.startswith("-") else column.asc())
    return ordering
