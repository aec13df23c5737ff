"""
Asks a query of its handler.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
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
        # Made when the handler, a middleware or an error asks for it: that is dearer than all the rest.
        metadata = partial(self._metadata, query, current_scope())
        try:
            if is_traced_lately():
                answer = await self._traced(route, query, metadata())
            else:
                answer = await route.invocation.answer(query, metadata)
        except Exception:
            route.failed.add()
            raise
        route.answered.add()
        # @handles held the handler to it, as far as types are checked.
        return cast("R", answer)

    async def _traced(self, route: _Route, query: Query[R], metadata: Metadata) -> object:
        with command_span(metadata.type, metadata.id):
            return await route.invocation.answer(query, metadata)

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

    def _metadata(self, query: Query[R], outer: Scope | None) -> Metadata:
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
