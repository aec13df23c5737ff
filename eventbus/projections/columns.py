"""
A row's field as a column of a table: the type it gets, and how a value goes in.

    str                      Text            bool      Boolean         UUID      Uuid
    int                      BigInteger      float     Double          bytes     LargeBinary
    Decimal                  Numeric on PostgreSQL; its exact text on SQLite, compared and ordered as a number
    datetime (aware)         timestamptz on PostgreSQL; ISO 8601 text in UTC on SQLite
    date                     Date
    Enum, Literal            Text or BigInteger, by its values
    models, dataclasses, lists, tuples, dicts, unions of several types     JSON (jsonb on PostgreSQL)
    X | None                 the column of X, nullable

Sets are refused, in JSON too: two processes write the same set in two orders, and a rebuild could not be compared.
What comes back from a table is validated by the row's model, so this module has no way back.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, TypeAlias, Union, cast, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, TypeAdapter
from sqlalchemy import BigInteger, Boolean, Date, Double, LargeBinary, Numeric, Text, TypeDecorator, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine

from eventbus.database.times import UtcTime
from eventbus.errors import DefinitionError

# SQLAlchemy's type parameter is invariant, and a column's is only known where the row is.
ColumnType: TypeAlias = TypeEngine[Any]  # pyright: ignore[reportExplicitAny]


@dataclass(frozen=True, slots=True)
class FieldColumn:
    """One field of a row: its column's type, and what turns its value into the column's (None: nothing has to)."""

    name: str
    type: ColumnType
    nullable: bool
    dump: Callable[[object], object] | None


class _ComparedDecimal(TypeDecorator[Decimal]):
    """What an ExactDecimal is compared with: a number on both databases."""

    impl = Numeric
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> ColumnType:
        return Double() if dialect.name == "sqlite" else Numeric()

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> object:
        return float(value) if value is not None and dialect.name == "sqlite" else value


class _AsNumber(GenericFunction[Decimal]):
    """A decimal column inside a comparison or an ordering."""

    name = "as_number"
    package = "eventbus"
    inherit_cache = True
    type = _ComparedDecimal()


@compiles(_AsNumber)
def _compile_as_itself(element: _AsNumber, compiler: SQLCompiler, **options: object) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_AsNumber, "sqlite")
def _compile_as_real(element: _AsNumber, compiler: SQLCompiler, **options: object) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS REAL)"


class ExactDecimal(TypeDecorator[Decimal]):
    """Keeps every digit. SQLite has no exact number: the digits are kept as text there, and compared as REAL."""

    impl = Numeric
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[Decimal]):
        """Compares and orders as a number, though SQLite holds text."""

        if not TYPE_CHECKING:  # SQLAlchemy's overloads of it say nothing about what is compared

            def operate(self, op: OperatorType, *other: object, **options: object) -> ColumnElement[object]:
                return op(_AsNumber(self.expr), *other, **options)

    comparator_factory = Comparator  # pyright: ignore[reportAssignmentType]  SQLAlchemy memoizes its own

    def load_dialect_impl(self, dialect: Dialect) -> ColumnType:
        return Text() if dialect.name == "sqlite" else Numeric()

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> object:
        return str(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: object, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(str(value))


class JsonDocument(TypeDecorator[object]):
    """jsonb on PostgreSQL; canonical text on SQLite (sorted keys), so that equal values are equal bytes."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> ColumnType:
        return Text() if dialect.name == "sqlite" else JSONB(none_as_null=True)

    def process_bind_param(self, value: object, dialect: Dialect) -> object:
        if value is None or dialect.name != "sqlite":
            return value
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def process_result_value(self, value: object, dialect: Dialect) -> object:
        return json.loads(value) if isinstance(value, str) and dialect.name == "sqlite" else value


_SCALARS: Mapping[type, ColumnType] = {
    str: Text(),
    bool: Boolean(),
    int: BigInteger(),
    float: Double(),
    Decimal: ExactDecimal(),
    datetime: UtcTime(),
    date: Date(),
    UUID: Uuid(),
    bytes: LargeBinary(),
}
_SCALARS_AS_TEXT = "str, int, float, bool, Decimal, datetime, date, UUID, bytes, Enum, Literal"


def column_of(place: str, field: str, annotation: object) -> FieldColumn:
    """
    The column of *field* by its annotation.

    Raises DefinitionError, with *place* and the way out, for a type that no column can hold.
    """
    members = _union_members(annotation)
    nullable = NoneType in members
    members = [member for member in members if member is not NoneType]
    if len(members) == 1:
        scalar = _scalar(members[0])
        if scalar is not None:
            type_, dump = scalar
            return FieldColumn(field, type_, nullable, dump)
    reason = next((reason for member in members if (reason := _not_json(member, set()))), None)
    if reason is not None:
        raise DefinitionError(
            f"{place}: field {field!r}: {reason}. A row's field is one of {_SCALARS_AS_TEXT}, "
            "or a model, dataclass, list, tuple or dict of them"
        )
    adapter: TypeAdapter[object] = TypeAdapter(cast("type[object]", annotation))
    return FieldColumn(field, JsonDocument(), nullable, lambda value: adapter.dump_python(value, mode="json"))


def _union_members(annotation: object) -> list[object]:
    annotation = _unwrap(annotation)
    if get_origin(annotation) in (Union, UnionType):
        return [inner for member in get_args(annotation) for inner in _union_members(member)]
    return [annotation]


def _unwrap(annotation: object) -> object:
    """The type behind Annotated, NewType and `type X = …`."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = cast("object", getattr(annotation, "__value__", None))
        else:
            return annotation


def _enum_value(value: object) -> object:
    return cast("object", value.value) if isinstance(value, Enum) else value


def _scalar(annotation: object) -> tuple[ColumnType, Callable[[object], object] | None] | None:
    """The column type of a type that needs no JSON, with its dump; None for any other."""
    if get_origin(annotation) is Literal:
        return _one_type(cast("tuple[object, ...]", get_args(annotation)))
    if not isinstance(annotation, type):
        return None
    known = _SCALARS.get(cast("type[object]", annotation))
    if known is not None:
        return known, None
    return _one_type(tuple(annotation)) if issubclass(annotation, Enum) else None


def _one_type(values: tuple[object, ...]) -> tuple[ColumnType, Callable[[object], object] | None] | None:
    """The column of values that are all of one type; enums count by what they stand for."""
    types = {type(_enum_value(value)) for value in values}
    known = _SCALARS.get(types.pop()) if len(types) == 1 else None
    return None if known is None else (known, _enum_value if any(isinstance(value, Enum) for value in values) else None)


def _not_json(annotation: object, seen: set[object]) -> str | None:
    """Why a value of this type has no JSON that a later process would write in the same way; None when it has."""
    annotation = _unwrap(annotation)
    origin = get_origin(annotation)
    kind = cast("object", origin) if origin is not None else annotation
    parts: list[object] = [part for part in get_args(annotation) if part is not Ellipsis]
    if kind is NoneType or kind is Literal or _scalar(annotation) is not None:
        return None
    if kind is not Union and kind is not UnionType:
        if not isinstance(kind, type) or kind is object:
            return f"no column can hold {annotation!r}"
        kind = cast("type[object]", kind)
        if issubclass(kind, AbstractSet):
            return "a set has no order (a rebuild could not be compared): use a sorted tuple"
        if kind in seen and not parts:
            return None
        seen.add(kind)
        if issubclass(kind, BaseModel):
            parts = [field.annotation for field in kind.model_fields.values()]
        elif is_dataclass(kind):
            parts = [field.type for field in fields(kind)]
        elif not issubclass(kind, (Sequence, Mapping, Enum)):
            return f"no column can hold {kind.__qualname__}"
    return next((reason for part in parts if (reason := _not_json(part, seen))), None)
