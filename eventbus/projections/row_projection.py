"""
A read model of rows: pure functions from a row and an event to a row.

    class OrderSummaries(RowProjection[OrderSummary], topics=["orders"], version=1):
        @projects(OrderPlaced)
        def placed(self, row: OrderSummary | None, event: OrderPlaced) -> OrderSummary: ...

A batch is applied in memory: the rows that it touches are read in one query, each event meets the row as the event
before left it, and what has changed is written in one statement (and what has gone is deleted in one).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar, cast, get_args, get_origin

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.errors import DefinitionError
from eventbus.messages import Event
from eventbus.projections.columns import FieldColumn, column_of
from eventbus.projections.definition import AnyProjection, EventFailed, Writer, define
from eventbus.projections.naming import table_name
from eventbus.projections.row import Row, RowKey, RowShape, reads_key, row_shape
from eventbus.projections.row_table import RowTable

R = TypeVar("R", bound=Row)
RowFunction = Callable[[Row | None, Event], Row | None]


@dataclass(frozen=True, slots=True)
class _Step:
    function: RowFunction
    name: str
    read_key: Callable[[Mapping[str, object]], RowKey]
    """From the event's fields to the row's key."""


_Place = tuple[_Step, RowKey]
"""What an event does, and to which row."""


class RowProjection(AnyProjection, Generic[R]):
    """
    Derive with the class keywords `topics` (where the events are), `version` and, rarely, `name`.

    Raises DefinitionError when the class is created: no row type, a key that the event does not have, two methods for
    one event, a row that cannot be a table.
    """

    projection_attempts = 1  # the functions are pure: what fails once fails again
    row_type: ClassVar[type[Row]]
    _shape: ClassVar[RowShape]
    _steps: ClassVar[Mapping[type[Event], _Step]]

    def __init_subclass__(cls, *, topics: Sequence[str], version: int = 1, name: str | None = None) -> None:
        super().__init_subclass__()
        cls.row_type = _row_type(cls)
        cls._shape = row_shape(cls.row_type)
        define(cls, topics=topics, version=version, name=name, parts=[])
        cls._steps = _steps(cls, cls._shape)

    @classmethod
    def shape(cls) -> RowShape:
        """How its rows lie in a table."""
        return cls._shape

    @classmethod
    def fingerprint(cls) -> str:
        return cls._shape.fingerprint

    @classmethod
    def tables(cls, generation: int) -> tuple[Table, ...]:
        return (cls._shape.table(table_name(cls.projection_name, generation)),)

    @classmethod
    def writer(cls, generation: int, tables: Sequence[Table]) -> Writer:
        table = RowTable(cls._shape, tables[0])

        async def write(connection: AsyncConnection, events: Sequence[Event]) -> None:
            places = cls._places(events)
            before = await table.read_for_update(connection, list(dict.fromkeys(key for _, key in places)))
            after = dict(before)
            cls._apply(after, events, places)
            await table.write(connection, before, after)

        return write

    @classmethod
    def fold(cls, events: Iterable[Event], rows: Iterable[R] = ()) -> list[R]:
        """
        The rows that *events* lead to, without a database; those that were deleted are not among them.

        Events that it has no method for are passed over. Raises what a function raises.
        """
        held: dict[RowKey, Row | None] = {cls._shape.key(row): row for row in rows}
        events = [event for event in events if type(event) in cls._steps]
        places = cls._places(events)
        for _, key in places:
            held.setdefault(key, None)
        try:
            cls._apply(held, events, places)
        except EventFailed as failed:
            raise failed.__cause__ or failed from None
        return [cast("R", row) for row in held.values() if row is not None]

    @classmethod
    def _places(cls, events: Sequence[Event]) -> list[_Place]:
        steps = cls._steps
        return [((step := steps[type(event)]), step.read_key(event.__dict__)) for event in events]

    @classmethod
    def _apply(cls, rows: dict[RowKey, Row | None], events: Sequence[Event], places: Sequence[_Place]) -> None:
        read_key = cls._shape.read_key
        for index, (step, key) in enumerate(places):
            try:
                row = step.function(rows[key], events[index])
                if row is not None and (own := read_key(row.__dict__)) != key:
                    raise ValueError(f"it was given the row with the key {key!r} and returned one with the key {own!r}")
            except Exception as error:
                raise EventFailed(index, step.name) from error
            rows[key] = row


def _row_type(cls: type) -> type[Row]:
    for klass in cls.__mro__:
        for parent in vars(klass).get("__orig_bases__", ()):
            if get_origin(parent) is RowProjection:
                (row_type,) = get_args(parent)
                if isinstance(row_type, type) and issubclass(row_type, Row):
                    return row_type
    raise DefinitionError(
        f"{cls.__module__}.{cls.__qualname__}: say which rows: class {cls.__name__}(RowProjection[MyRow], …)"
    )


def _steps(cls: type[RowProjection[R]], shape: RowShape) -> dict[type[Event], _Step]:
    projection = cls()
    steps: dict[type[Event], _Step] = {}
    key = cls.row_type.row_key
    kinds = {column.name: type(column.type) for column in shape.columns}
    for method in cls.projection_methods:
        fields = method.key if method.key is not None else key
        name = f"{cls.__name__}.{method.name}"
        if len(fields) != len(key):
            raise DefinitionError(
                f"{method.place}: key={fields!r} of {name} has {len(fields)} fields, the row's key {key!r} {len(key)}"
            )
        columns: list[FieldColumn] = []
        for row_field, field in zip(key, fields, strict=True):
            found = method.event.model_fields.get(field)
            if found is None:
                raise DefinitionError(
                    f"{method.place}: {method.event.__name__} has no field {field!r} for the key of "
                    f'{cls.row_type.__name__}: name one with @projects({method.event.__name__}, key="…"); '
                    f"it has {', '.join(method.event.model_fields) or 'none'}"
                )
            column = column_of(method.place, field, found.annotation)
            columns.append(column)
            if column.nullable or type(column.type) is not kinds[row_field]:
                raise DefinitionError(
                    f"{method.place}: {method.event.__name__}.{field} is {found.annotation}, and is to be the key "
                    f"{cls.row_type.__name__}.{row_field}: both have to be of one type, and never None"
                )
        steps[method.event] = _Step(getattr(projection, method.name), name, reads_key(columns))
    return steps
