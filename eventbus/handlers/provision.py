"""
Provision by type: what stands behind each parameter of a handler beyond its message.

Everything is looked up once, when the application is built; for a message, a provider is one call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from eventbus.errors import DefinitionError
from eventbus.messages import Metadata
from eventbus.store import UnitOfWork


class Scope:
    """
    One message being handled. Whoever hands messages to handlers may derive a scope of its own that makes what few
    handlers ask for only when one does.
    """

    __slots__ = ("_metadata", "_unit_of_work", "_values", "is_open")

    def __init__(self, metadata: Metadata | None, unit_of_work: UnitOfWork | None) -> None:
        self._metadata = metadata
        self._unit_of_work = unit_of_work
        self._values: dict[Provider, object] | None = None
        self.is_open = True
        """False once the handler has returned: what was started in it and forgotten is no part of the message."""

    @property
    def metadata(self) -> Metadata:
        """What is known about the message."""
        if self._metadata is None:
            self._metadata = self._make_metadata()
        return self._metadata

    @property
    def unit_of_work(self) -> UnitOfWork | None:
        """What changes are made in; None for a query, which makes none."""
        return self._unit_of_work

    @property
    def values(self) -> dict["Provider", object]:
        """What was provided already: the same type is the same object throughout one message."""
        if self._values is None:
            self._values = {}
        return self._values

    def close(self) -> None:
        """The handler has returned. What was provided refers to the unit of work, and that to this scope: let go."""
        self.is_open = False
        self._values = None

    def _make_metadata(self) -> Metadata:
        raise NotImplementedError(f"{type(self).__qualname__} was given no metadata, and does not say how to make it")


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """How a value is come by, for one message."""

    get: Callable[[Scope], object]
    needs_transaction: bool = False
    """Not for queries."""
    needs_connection: bool = False
    """The database's transaction is to be open before the handler is called."""
    way: Literal["value", "awaitable", "context"] = "value"
    """`get` answers the value itself, an awaitable of it, or an async context manager around it."""


Source: TypeAlias = Callable[[object], Provider | None]
"""From an annotation (already evaluated) to its provider; None: none of its business. May raise DefinitionError."""


class Provision:
    """
    The sources of one application. The first that knows a type provides it, so that the framework's own come first.
    """

    __slots__ = ("_known", "_sources")

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources: Sequence[Source] = (_of_the_message, *sources)
        self._known: dict[object, Provider] = {}

    def provider(self, annotation: object) -> Provider:
        """The provider of *annotation*. Raises DefinitionError when nobody provides it."""
        # By equality: Repository[Order] is a new object at each place that it is written.
        known = self._known.get(annotation)
        if known is not None:
            return known
        for source in self._sources:
            provider = source(annotation)
            if provider is not None:
                if provider.way == "value" and provider.needs_transaction:
                    provider = _once_a_message(provider)
                self._known[annotation] = provider
                return provider
        raise DefinitionError(
            f"nothing provides {shown(annotation)}: there are Repository[…], View[…], UnitOfWork, Metadata, "
            "CommandBus, QueryBus, EventBus, Clock, and what is given to Application(provide=[…])"
        )


def shown(annotation: object) -> str:
    """An annotation as a developer has written it, as far as that is known."""
    return annotation.__qualname__ if isinstance(annotation, type) else str(annotation)


def unit_of_work_of(scope: Scope) -> UnitOfWork:
    """The unit of work of a message that has one; which those are was checked when the application was built."""
    unit_of_work = scope.unit_of_work
    if unit_of_work is None:
        raise DefinitionError(f"a query changes nothing: {scope.metadata.type} has no unit of work")
    return unit_of_work


def from_unit_of_work(find: Callable[[object], Callable[[UnitOfWork], object] | None]) -> Source:
    """The source of what is made from a unit of work: *find* answers the maker of an annotation, or None."""

    def source(annotation: object) -> Provider | None:
        make = find(annotation)
        return None if make is None else Provider(lambda scope: make(unit_of_work_of(scope)), needs_transaction=True)

    return source


def _of_the_message(annotation: object) -> Provider | None:
    if annotation is Metadata:
        return Provider(lambda scope: scope.metadata)
    if annotation is UnitOfWork:
        return Provider(unit_of_work_of, needs_transaction=True, needs_connection=True)
    return None


def _once_a_message(provider: Provider) -> Provider:
    make = provider.get

    def get(scope: Scope) -> object:
        value = scope.values.get(once)
        if value is None:
            value = scope.values[once] = make(scope)
        return value

    once = Provider(get, needs_transaction=True, needs_connection=provider.needs_connection)
    return once
