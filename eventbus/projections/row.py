"""
A row of a read model: a frozen pydantic model that is also a table.

    class OrderSummary(Row, key="order_id"):
        order_id: str
        status: str
        total: Decimal

The table has one column a field (columns.py says which type) and the key as its primary key. It is made when the
projection starts, once per generation, under a name of its own; the class itself knows no database.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from operator import itemgetter
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Column, Double, MetaData, Table

from eventbus.errors import DefinitionError
from eventbus.projections.columns import ExactDecimal, FieldColumn, JsonDocument, column_of
from eventbus.projections.naming import snake_case

RowKey = tuple[object, ...]
"""The values of a row's key fields, in the order of the class keyword."""


class Row(BaseModel):
    """
    Derive a row with the class keyword `key`: a field's name, or a tuple of names. Rows are frozen: `replace()`.

    Raises DefinitionError when the class is created: no key, a key that is no field, a field that no column can hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row_key: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, key: str | tuple[str, ...] | None = None) -> None:
        super().__init_subclass__()
        if key is not None:
            cls.row_key = (key,) if isinstance(key, str) else tuple(key)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        super().__pydantic_init_subclass__()
        place = f"{cls.__module__}.{cls.__qualname__}"
        if not cls.row_key:
            raise DefinitionError(f'{place}: a row needs a key: class {cls.__name__}(Row, key="…")')
        unknown = [name for name in cls.row_key if name not in cls.model_fields]
        if unknown:
            raise DefinitionError(
                f"{place}: key {unknown[0]!r} is no field; the fields are {', '.join(cls.model_fields)}"
            )
        if cls.__pydantic_complete__:  # with forward references the projection's class asks again
            row_shape(cls)

    def replace(self, **changes: object) -> Self:
        """A copy with some fields changed, validated like a new row (ValidationError)."""
        held, cls = self.__dict__, type(self)
        # The validator itself, and no property of the class for each field: every event of a row projection comes by.
        values = {name: held[name] for name in cls.__pydantic_fields__} | changes
        replaced: Self = cls.__pydantic_validator__.validate_python(values)
        return replaced


@dataclass(frozen=True)
class RowShape:
    """How rows of one class lie in a table."""

    row_type: type[Row]
    columns: tuple[FieldColumn, ...]

    @cached_property
    def template(self) -> Table:
        """The table that conditions are written against; a generation's table takes its place when they run."""
        return self.table(snake_case(self.row_type.__name__))

    @cached_property
    def fingerprint(self) -> str:
        """Differs when the tables of two releases would differ."""
        columns = [f"{c.name}:{type(c.type).__name__}{'?' if c.nullable else ''}" for c in self.columns]
        return f"{','.join(self.row_type.row_key)}|{','.join(columns)}"

    def table(self, name: str) -> Table:
        """A new Table of this shape, in a MetaData of its own."""
        key = self.row_type.row_key
        ordered = [*self.key_columns, *(column for column in self.columns if column.name not in key)]
        return Table(
            name,
            MetaData(),
            *(
                Column(c.name, c.type, primary_key=c.name in key, nullable=c.nullable, autoincrement=False)
                for c in ordered
            ),
        )

    def column(self, name: str) -> FieldColumn:
        """The column of a field."""
        return next(column for column in self.columns if column.name == name)

    def key(self, row: Row) -> RowKey:
        """The key of a row, as the columns hold it."""
        return self.read_key(row.__dict__)

    @cached_property
    def read_key(self) -> Callable[[Mapping[str, object]], RowKey]:
        """The same, from a row's fields."""
        return reads_key(self.key_columns)

    @cached_property
    def key_columns(self) -> tuple[FieldColumn, ...]:
        """The columns of the key, in its order."""
        by_name = {column.name: column for column in self.columns}
        return tuple(by_name[name] for name in self.row_type.row_key)


def reads_key(columns: Sequence[FieldColumn]) -> Callable[[Mapping[str, object]], RowKey]:
    """From the fields of a row, or of an event, to the key that *columns* hold: called several times an event."""
    if any(column.dump is not None for column in columns):
        return lambda held: tuple(held[c.name] if c.dump is None else c.dump(held[c.name]) for c in columns)
    first, *others = (column.name for column in columns)
    return itemgetter(first, *others) if others else lambda held: (held[first],)


_NO_KEYS = (JsonDocument, ExactDecimal, Double)  # 5 and 5.0 are one key in Python and two in a table


@cache
def row_shape(row_type: type[Row]) -> RowShape:
    """The shape of a row's table. Raises DefinitionError when a field fits no column or the key fits none."""
    place = f"{row_type.__module__}.{row_type.__qualname__}"
    row_type.model_rebuild()
    columns = tuple(column_of(place, name, field.annotation) for name, field in row_type.model_fields.items())
    for column in columns:
        if column.name in row_type.row_key and (column.nullable or isinstance(column.type, _NO_KEYS)):
            fault = "may be None" if column.nullable else "has no one way to be written"
            raise DefinitionError(f"{place}: key field {column.name!r} {fault}: use str, int, UUID, date or an Enum")
    return RowShape(row_type, columns)
