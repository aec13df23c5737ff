"""
Asks a query of its handler.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar, cast

from eventbus.clock import Clock
from eventbus.errors import DefinitionError
from eventbus.handlers import Invocation, Scope, current_scope
from eventbus.messages import Message, Metadata, Query
from eventbus.observability import (
    QUERIES_ANSWERED,
    QUERIES_FAILED,
    Counter,
    Counters,
    command_span,
    current_traceparent,
    is_traced_lately,
)
from eventbus.store import new_event_id

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Route:
    """What is known of one query's class before it is asked."""

    invocation: Invocation
    answered: Counter
    failed: Counter


class QueryBus:
    """`ask` answers here and now, without a transaction that could write."""

    __slots__ = ("_clock", "_counters", "_invocations", "_routes", "_source")

    def __init__(
        self, source: str, invocations: Mapping[type[Message], Invocation], clock: Clock, counters: Counters
    ) -> None:
        self._source = source
        self._invocations = invocations
        self._clock = clock
        self._counters = counters
        self._routes: dict[type[Message], _Route] = {}

    async def ask(self, query: Query[R]) -> R:
        """What the handler of *query* returns. Raises what it raises; DefinitionError without a handler."""
        route = self._routes.get(type(query)) or self._route(type(query))
        asked = _Asked(self, query)
        try:
            if is_traced_lately():
                with command_span(query.message_name, asked.metadata.id):
                    answer = await route.invocation.within(asked, query)
            else:
                answer = await route.invocation.within(asked, query)
        except Exception:
            route.failed.add()
            raise
        route.answered.add()
        # @handles held the handler to it, as far as types are checked.
        return cast("R", answer)

    def _route(self, query: type[Query[R]]) -> _Route:
        invocation = self._invocations.get(query)
        if invocation is None:
            raise DefinitionError(
                f"{self._source} has no handler for {query.__module__}.{query.__qualname__}: "
                "give the module of its handler to Application(modules=[…])"
            )
        name = query.message_name
        route = _Route(
            invocation,
            self._counters.counter(QUERIES_ANSWERED, type=name),
            self._counters.counter(QUERIES_FAILED, type=name),
        )
        self._routes[query] = route
        return route

    def metadata(self, query: Query[object], outer: Scope | None) -> Metadata:
        """What is known of a query that is asked while *outer* is being handled."""
        own_id = new_event_id()
        return Metadata(
            id=own_id,
            type=query.message_name,
            version=query.message_version,
            source=self._source,
            time=self._clock.now(),
            correlation_id=own_id if outer is None else outer.metadata.correlation_id or outer.metadata.id,
            causation_id=None if outer is None else outer.metadata.id,
            traceparent=current_traceparent() or (None if outer is None else outer.metadata.traceparent),
        )


class _Asked(Scope):
    """A query: its metadata is dearer than all the rest, and made for a handler, a middleware or an error that asks."""

    __slots__ = ("_bus", "_outer", "_query")

    def __init__(self, bus: QueryBus, query: Query[object]) -> None:
        super().__init__(None, None)
        self._bus = bus
        self._query = query
        self._outer = current_scope()

    def _make_metadata(self) -> Metadata:
        return self._bus.metadata(self._query, self._outer)
