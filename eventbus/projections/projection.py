"""
A read model in SQL: methods that get the event and the transaction, for what row functions do not fit.

    totals = Table("totals", MetaData(), Column("day", Date, primary_key=True), Column("amount", Numeric))

    class DailyTotals(Projection, topics=["orders"], tables=[totals]):
        @projects(OrderPlaced)
        async def placed(self, event: OrderPlaced, connection: AsyncConnection) -> None:
            await connection.execute(insert(self.table(totals)).values(…))

The tables are declared once and made once a generation, under names of their own: `self.table(totals)` is the one of
the generation that is being written, so that a rebuild fills new tables while the live ones are read.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar

from sqlalchemy import Column, MetaData, Table
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import quoted_name

from eventbus.errors import DefinitionError
from eventbus.messages import Event
from eventbus.projections.definition import NO_EVENTS_FAULT, AnyProjection, EventFailed, Writer, define
from eventbus.projections.naming import part_name, table_name
from eventbus.projections.own_tables import OwnTables

SqlFunction = Callable[[Event, AsyncConnection], Awaitable[None]]


class Projection(AnyProjection):
    """
    Derive with the class keywords `topics`, `tables`, `version` and, rarely, `name`.

    The methods' writes and the checkpoint are one transaction. A method that fails is tried three times, and then its
    event becomes a dead letter, without a trace of it in the tables. A rebuild runs the same methods again, so they get
    the event and the transaction and nothing else, and may write nothing but these tables: a statement that writes
    another one is a DefinitionError, and nothing is applied. What differs from run to run (now(), random numbers,
    serial keys) makes a rebuild refuse the switch, because the two generations cannot be compared.

    Raises DefinitionError when the class is created: no table, a foreign key (the other table changes its name), two
    methods for one event.
    """

    projection_attempts = 3
    _declared: ClassVar[tuple[Table, ...]]

    def __init_subclass__(
        cls, *, topics: Sequence[str], tables: Sequence[Table], version: int = 1, name: str | None = None
    ) -> None:
        super().__init_subclass__()
        place = f"{cls.__module__}.{cls.__qualname__}"
        if not tables:
            raise DefinitionError(f"{place}: tables=[…]: declare the SQLAlchemy tables that it writes")
        for table in tables:
            if table.foreign_keys:
                raise DefinitionError(
                    f"{place}: table {table.name!r} has a foreign key: each generation's tables have names of their "
                    "own, so it would point to a table that is not there; keep the column and leave the constraint out"
                )
            if not table.primary_key.columns:
                raise DefinitionError(
                    f"{place}: table {table.name!r} has no primary key: without one no row can be told"
                )
        cls._declared = tuple(tables)
        define(cls, topics=topics, version=version, name=name, parts=[table.name for table in tables])

    def __init__(self, tables: Mapping[Table, Table]) -> None:
        self._tables = tables

    def table(self, declared: Table) -> Table:
        """The table of this generation. Raises KeyError with words for one that is not in `tables=`."""
        try:
            return self._tables[declared]
        except KeyError:
            raise KeyError(f"table {declared.name!r} is not in tables= of {type(self).__name__}") from None

    @classmethod
    def at(cls, tables: Sequence[Table]) -> "Projection":
        """The projection that writes *tables*, in the order of the class keyword."""
        return cls(dict(zip(cls._declared, tables, strict=True)))

    @classmethod
    def fingerprint(cls) -> str:
        return ";".join(
            f"{table.name}({','.join(f'{c.name}:{type(c.type).__name__}{_marks(c)}' for c in table.columns)})"
            for table in cls._declared
        )

    @classmethod
    def tables(cls, generation: int) -> tuple[Table, ...]:
        return tuple(_named(table, table_name(cls.projection_name, generation, table.name)) for table in cls._declared)

    @classmethod
    def writer(cls, generation: int, tables: Sequence[Table]) -> Writer:
        projection = cls.at(tables)
        own_tables = OwnTables(cls.projection_name, tables)
        functions: dict[type[Event], tuple[str, SqlFunction]] = {
            method.event: (f"{cls.__name__}.{method.name}", getattr(projection, method.name))
            for method in cls.projection_methods
        }

        async def write(connection: AsyncConnection, events: Sequence[Event]) -> None:
            with own_tables.only(connection):
                for index, event in enumerate(events):
                    name, function = functions[type(event)]
                    try:
                        await function(event, connection)
                    except NO_EVENTS_FAULT:
                        raise
                    except Exception as error:
                        raise EventFailed(index, name) from error

        return write


def _marks(column: Column[object]) -> str:
    return ("!" if column.primary_key else "") + ("?" if column.nullable else "")


def _named(table: Table, name: str) -> Table:
    """A copy of *table* whose indexes and constraints have names of their own, too: PostgreSQL's are per schema."""
    copied = table.to_metadata(MetaData(), name=name)
    for index in copied.indexes:
        index.name = quoted_name(part_name(name, index.name or ""), quote=None)
    for constraint in copied.constraints:
        if isinstance(constraint.name, str):
            constraint.name = quoted_name(part_name(name, constraint.name), quote=None)
    return copied
