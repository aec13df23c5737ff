"""
Asks a query of its handler.
"""

from collections.abc import Mapping
from typing import TypeVar, cast
from uuid import uuid4

from eventbus.clock import Clock
from eventbus.errors import DefinitionError
from eventbus.handlers import Invocation, current_scope
from eventbus.messages import Message, Metadata, Query
from eventbus.observability import QUERIES_ANSWERED, QUERIES_FAILED, Counters, command_span, current_traceparent

R = TypeVar("R")


class QueryBus:
    """`ask` answers here and now, without a transaction that could write."""

    __slots__ = ("_clock", "_counters", "_invocations", "_source")

    def __init__(
        self, source: str, invocations: Mapping[type[Message], Invocation], clock: Clock, counters: Counters
    ) -> None:
        self._source = source
        self._invocations = invocations
        self._clock = clock
        self._counters = counters

    async def ask(self, query: Query[R]) -> R:
        """What the handler of *query* returns. Raises what it raises; DefinitionError without a handler."""
        invocation = self._invocations.get(type(query))
        if invocation is None:
            raise DefinitionError(
                f"{self._source} has no handler for {type(query).__module__}.{type(query).__qualname__}: "
                "give the module of its handler to Application(modules=[…])"
            )
        scope = current_scope()
        own_id = str(uuid4())
        metadata = Metadata(
            id=own_id,
            type=query.message_name,
            version=query.message_version,
            source=self._source,
            time=self._clock.now(),
            correlation_id=own_id if scope is None else scope.metadata.correlation_id or scope.metadata.id,
            causation_id=None if scope is None else scope.metadata.id,
            traceparent=current_traceparent(),
        )
        with command_span(metadata.type, metadata.id):
            try:
                answer = await invocation.answer(query, metadata)
            except Exception:
                self._counters.add(QUERIES_FAILED, type=metadata.type)
                raise
        self._counters.add(QUERIES_ANSWERED, type=metadata.type)
        # @handles held the handler to it, as far as types are checked.
        return cast("R", answer)
