"""
Sends a command to its handler, in one transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from eventbus.clock import Clock
from eventbus.errors import ConcurrencyConflict, DefinitionError
from eventbus.handlers import Invocation, Scope, current_scope
from eventbus.messages import Command, Message, Metadata, Receipt
from eventbus.observability import (
    COMMANDS_FAILED,
    COMMANDS_HANDLED,
    COMMANDS_REPEATED,
    COMMANDS_RETRIED,
    Counter,
    Counters,
    command_span,
    current_traceparent,
    is_traced_lately,
)
from eventbus.store import CommandRepeated, Transaction, Transactions, new_event_id

_ID_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class _Route:
    """What is known of one command's class before it is sent."""

    invocation: Invocation
    handled: Counter
    failed: Counter
    repeated: Counter
    retried: Counter


class CommandBus:
    """
    `send` handles a command here and now: the events that it leads to, the outbox rows and the caller's id are
    committed together, or nothing is.

    A command sent from inside a handler joins the transaction of the message that is being handled. It does not see
    what that handler's aggregates have recorded so far: send commands to other aggregates than those that are loaded.
    """

    __slots__ = ("_clock", "_counters", "_invocations", "_routes", "_source", "_transactions")

    def __init__(
        self,
        source: str,
        invocations: Mapping[type[Message], Invocation],
        transactions: Transactions,
        clock: Clock,
        counters: Counters,
    ) -> None:
        self._source = source
        self._invocations = invocations
        self._transactions = transactions
        self._clock = clock
        self._counters = counters
        self._routes: dict[type[Message], _Route] = {}

    async def send(self, command: Command, *, id: str | None = None) -> Receipt:
        """
        Handles *command*. With *id* (an HTTP Idempotency-Key, say) it is handled once however often it is sent: the
        first receipt is answered again, also to whoever sends at the same time.

        Raises what the handler raises; ConcurrencyConflict when that was the outcome of every retry; DefinitionError
        without a handler; DatabaseUnavailable.
        """
        route = self._routes.get(type(command)) or self._route(type(command))
        if id is not None and not 0 < len(id) <= _ID_CHARACTERS_MAX:
            raise ValueError(f"a command's id has 1 to {_ID_CHARACTERS_MAX} characters, this one {len(id)}")
        outer = current_scope()
        try:
            if is_traced_lately():
                receipt = await self._traced(route, command, id, outer)
            else:
                receipt = await self._send(route, command, self._metadata(command, id, outer), outer, id)
        except Exception:
            route.failed.add()
            raise
        route.handled.add()
        return receipt

    async def _traced(self, route: _Route, command: Command, id: str | None, outer: Scope | None) -> Receipt:
        own_id = id or new_event_id()
        with command_span(command.message_name, own_id):
            # Within the span, so that what the command leads to is its child.
            return await self._send(route, command, self._metadata(command, own_id, outer), outer, id)

    async def _send(
        self, route: _Route, command: Command, metadata: Metadata, outer: Scope | None, id: str | None
    ) -> Receipt:
        key = None if id is None else f"{metadata.type}:{id}"
        if outer is not None:
            if outer.unit_of_work is None:
                raise DefinitionError(
                    f"a query changes nothing, and the handler of {outer.metadata.type} sends a command"
                )
            # A conflict is the outer message's to retry: its transaction cannot be half done again.
            return await self._handle(route, command, metadata, key, outer.unit_of_work.transaction)
        retries = route.invocation.definition.options.retries_on_conflict
        lazily = True
        while True:
            try:
                async with self._transactions.begin(lazily=lazily) as transaction:
                    return await self._handle(route, command, metadata, key, transaction)
            except (ConcurrencyConflict, CommandRepeated) as error:
                if isinstance(error, CommandRepeated) and error.command_id == key:
                    route.repeated.add()
                    return Receipt.model_validate_json(error.receipt)
                if retries == 0:
                    raise
                retries -= 1
                # In a transaction of its own, which on SQLite keeps everybody else out: there it is the last time.
                lazily = False
                route.retried.add()

    async def _handle(
        self, route: _Route, command: Command, metadata: Metadata, key: str | None, transaction: Transaction
    ) -> Receipt:
        if key is not None:
            earlier = await transaction.find_command(key)
            if earlier is not None:
                route.repeated.add()
                return Receipt.model_validate_json(earlier)
        unit_of_work = transaction.unit_of_work(metadata)
        await route.invocation(command, unit_of_work)
        await unit_of_work.complete()
        receipt = Receipt(command_id=metadata.id, event_ids=tuple(unit_of_work.event_ids))
        if key is not None:
            transaction.remember_command(key, receipt.model_dump_json())
        return receipt

    def _route(self, command: type[Command]) -> _Route:
        invocation = self._invocations.get(command)
        if invocation is None:
            raise DefinitionError(
                f"{self._source} has no handler for {command.__module__}.{command.__qualname__}: "
                "give the module of its handler to Application(modules=[…])"
            )
        counter, name = self._counters.counter, command.message_name
        route = _Route(
            invocation,
            counter(COMMANDS_HANDLED, type=name),
            counter(COMMANDS_FAILED, type=name),
            counter(COMMANDS_REPEATED, type=name),
            counter(COMMANDS_RETRIED, type=name),
        )
        self._routes[command] = route
        return route

    def _metadata(self, command: Command, id: str | None, scope: Scope | None) -> Metadata:
        own_id = id or new_event_id()
        outer = None if scope is None else scope.metadata
        return Metadata(
            id=own_id,
            type=command.message_name,
            version=command.message_version,
            source=self._source,
            time=self._clock.now(),
            correlation_id=own_id if outer is None else outer.correlation_id or outer.id,
            causation_id=None if outer is None else outer.id,
            traceparent=current_traceparent() or (None if outer is None else outer.traceparent),
        )
