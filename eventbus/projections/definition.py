"""
What every projection is: a class with a name, a version, topics, and methods marked with `@projects`.

A definition is checked when its class is created; nothing is registered anywhere.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar, cast, overload

from sqlalchemy import Table
from sqlalchemy.exc import InternalError, OperationalError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.errors import CheckpointFenced, DefinitionError, ForeignLog, Unavailable
from eventbus.messages import Event
from eventbus.projections.naming import check_name, snake_case
from eventbus.projections.row import Row

E = TypeVar("E", bound=Event)
S = TypeVar("S")
R = TypeVar("R")  # unbounded: mypy takes "OrderSummary | None" for it, which is no Row
Returned = TypeVar("Returned", bound=Row | None)

Writer = Callable[[AsyncConnection, Sequence[Event]], Awaitable[None]]
"""Applies events, in order, in the caller's transaction. Raises EventFailed."""

NO_EVENTS_FAULT = (
    Unavailable,
    CheckpointFenced,
    ForeignLog,
    DefinitionError,
    ProgrammingError,
    OperationalError,
    InternalError,
)
"""
What fails for any event: the world is away, the partition is another's, or code or tables are wrong, as when somebody
has dropped one. Nothing is skipped because of it.
"""

_MARKS = "__eventbus_projects__"


@dataclass(frozen=True, slots=True)
class ProjectsMark:
    """What `@projects` leaves at a method. `key`: the event's fields that are the row's key; None: same names."""

    event: type[Event]
    key: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class ProjectsMethod:
    """One marked method of one projection class."""

    name: str
    event: type[Event]
    key: tuple[str, ...] | None
    place: str


class EventFailed(Exception):
    """A projection's method failed for the event at *index* of the batch; the reason is the cause."""

    def __init__(self, index: int, method: str) -> None:
        super().__init__(f"event {index} of the batch failed in {method}")
        self.index = index
        self.method = method


class projects(Generic[E]):  # noqa: N801  a decorator, read as a verb
    """
    Marks the method of a projection that takes events of one class.

    In a RowProjection it is a pure function, `(self, row | None, event) -> row | None`: None deletes the row, or
    leaves it absent. The row's key is the event's field of the same name unless `key=` names another (a tuple for
    several). In a Projection it is `async (self, event, connection)` and writes what it likes.
    """

    def __init__(self, event: type[E], *, key: str | tuple[str, ...] | None = None) -> None:
        self._mark = ProjectsMark(event, (key,) if isinstance(key, str) else key)

    @overload
    def __call__(self, method: Callable[[S, R | None, E], Returned]) -> Callable[[S, R | None, E], Returned]: ...

    @overload
    def __call__(
        self, method: Callable[[S, E, AsyncConnection], Awaitable[None]]
    ) -> Callable[[S, E, AsyncConnection], Awaitable[None]]: ...

    def __call__(self, method: Callable[..., object]) -> Callable[..., object]:
        marks = cast("tuple[ProjectsMark, ...]", getattr(method, _MARKS, ()))
        setattr(method, _MARKS, (*marks, self._mark))
        return method


class AnyProjection(ABC):
    """
    The part of a projection that the framework drives; derive RowProjection or Projection, not this.

    projection_name      names its tables, checkpoints and dead letters
    projection_version   the shape that the code has; raised by the developer when the tables or the rules change
    projection_topics    where its events are
    """

    projection_name: ClassVar[str]
    projection_version: ClassVar[int]
    projection_topics: ClassVar[tuple[str, ...]]
    projection_methods: ClassVar[tuple[ProjectsMethod, ...]]
    projection_attempts: ClassVar[int]
    """How often one event is tried before it becomes a dead letter."""

    @classmethod
    def event_types(cls) -> tuple[type[Event], ...]:
        """The events that it takes; others on its topics are none of its business."""
        return tuple(method.event for method in cls.projection_methods)

    @classmethod
    @abstractmethod
    def fingerprint(cls) -> str:
        """Differs between releases whose tables differ: then `version` has to differ, too."""

    @classmethod
    @abstractmethod
    def tables(cls, generation: int) -> tuple[Table, ...]:
        """The tables of one generation, the framework's own aside; new Table objects."""

    @classmethod
    @abstractmethod
    def writer(cls, generation: int, tables: Sequence[Table]) -> Writer:
        """What applies events to the tables of one generation."""


def define(
    cls: type[AnyProjection], *, topics: Sequence[str], version: int, name: str | None, parts: Iterable[str]
) -> None:
    """Fills in and checks what both kinds of projection share. Raises DefinitionError."""
    place = f"{cls.__module__}.{cls.__qualname__}"
    if isinstance(topics, str) or not topics or not all(topics):
        raise DefinitionError(f'{place}: topics={topics!r}: name at least one topic, in a list: topics=["orders"]')
    if version < 1:
        raise DefinitionError(f"{place}: version={version}: versions are counted from 1")
    cls.projection_name = name if name is not None else snake_case(cls.__name__)
    cls.projection_version = version
    cls.projection_topics = tuple(dict.fromkeys(topics))
    check_name(place, cls.projection_name, ["streams", *parts])
    methods = {name: _marks(cls, name) for name in _marked_names(cls)}
    cls.projection_methods = tuple(method for found in methods.values() for method in found)
    if not cls.projection_methods:
        raise DefinitionError(f"{place}: no method is marked with @projects(SomeEvent)")
    seen: dict[type[Event], ProjectsMethod] = {}
    for method in cls.projection_methods:
        if (other := seen.setdefault(method.event, method)) is not method:
            raise DefinitionError(
                f"{place}: two methods take {method.event.__name__}: {other.place} and {method.place}; keep one"
            )


def _marked_names(cls: type) -> list[str]:
    """Names of marked methods, in order of definition, inherited ones first."""
    names = {
        name: None for klass in reversed(cls.__mro__) for name, value in vars(klass).items() if hasattr(value, _MARKS)
    }
    return [name for name in names if hasattr(getattr(cls, name), _MARKS)]


def _marks(cls: type, name: str) -> list[ProjectsMethod]:
    function = cast("Callable[..., object]", getattr(cls, name))
    marks = cast("tuple[ProjectsMark, ...]", getattr(function, _MARKS))
    code = inspect.unwrap(function).__code__
    place = f"{function.__module__}:{code.co_firstlineno}"
    return [ProjectsMethod(name, mark.event, mark.key, place) for mark in reversed(marks)]
