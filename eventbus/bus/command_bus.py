"""
Sends a command to its handler, in one transaction.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from eventbus.bus.turns import Turns
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
from eventbus.store import CommandRepeated, Transaction, Transactions, UnitOfWork, new_event_id

_ID_CHARACTERS_MAX: Final = 200
_PAUSE_SECONDS: Final = 0.01
_to_receipt: Final = Receipt.__pydantic_validator__.validate_python


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

    __slots__ = ("_clock", "_counters", "_invocations", "_routes", "_source", "_transactions", "_turns")

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
        self._turns = Turns()
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
        sent = Sent(self, command, id or new_event_id(), current_scope())
        key = None if id is None else f"{command.message_name}:{id}"
        try:
            if is_traced_lately():
                with command_span(command.message_name, sent.id):
                    # Within the span, so that what the command leads to is its child.
                    sent.take_trace()
                    receipt = await self._send(route, sent, key)
            else:
                receipt = await self._send(route, sent, key)
        except Exception:
            route.failed.add()
            raise
        route.handled.add()
        return receipt

    async def _send(self, route: _Route, sent: "Sent", key: str | None) -> Receipt:
        if sent.outer is not None:
            # A conflict is the outer message's to retry: its transaction cannot be half done again.
            sent.join(sent.outer)
            try:
                return await self._handle(route, sent, key)
            except CommandRepeated as error:
                return self._first_receipt(route, key, error)
        try:
            return await self._handle(route, sent, key)
        except (ConcurrencyConflict, CommandRepeated) as error:
            return await self._again(route, sent, key, error)

    async def _again(
        self, route: _Route, sent: "Sent", key: str | None, error: ConcurrencyConflict | CommandRepeated
    ) -> Receipt:
        """What becomes of a command whose first attempt has come too late."""
        if isinstance(error, CommandRepeated):
            return self._first_receipt(route, key, error)
        retries = route.invocation.definition.options.retries_on_conflict
        if retries == 0:
            raise error
        async with self._turns.at(error.stream):
            for retry in range(1, retries + 1):
                route.retried.add()
                sent = sent.again()
                try:
                    if retry > 1:
                        # Another process: not in step with it, and in a transaction of the database from the load on,
                        # which on SQLite keeps everybody else out.
                        await anyio.sleep(random.uniform(0, _PAUSE_SECONDS * retry))
                        await sent.begin().open()
                    return await self._handle(route, sent, key)
                except CommandRepeated as repeated:
                    return self._first_receipt(route, key, repeated)
                except ConcurrencyConflict:
                    if retry == retries:
                        raise
        raise error

    def _get_in_line(self, route: _Route, transaction: Transaction) -> None:
        """Raises ConcurrencyConflict, which is about to be true, when others are waiting for one of the streams."""
        if route.invocation.definition.options.retries_on_conflict and not transaction.is_open:
            for stream, version in transaction.expected():
                if stream in self._turns:
                    raise ConcurrencyConflict(stream, version, None)

    @staticmethod
    def _first_receipt(route: _Route, key: str | None, error: CommandRepeated) -> Receipt:
        """What was answered under this id before. Raises *error* when it is about another command."""
        if error.command_id != key:
            raise error
        route.repeated.add()
        return Receipt.model_validate_json(error.receipt)

    async def _handle(self, route: _Route, sent: "Sent", key: str | None) -> Receipt:
        """Handles the command, and commits unless the transaction is an outer message's."""
        try:
            if key is not None:
                for known in self._keys(sent.command, key):
                    earlier = await sent.begin().find_command(known)
                    if earlier is not None:
                        raise CommandRepeated(key, earlier)
            await route.invocation.within(sent, sent.command)
            event_ids = () if sent.transaction is None else await sent.complete()
            if self._turns and sent.is_first and sent.transaction is not None and sent.outer is None:
                self._get_in_line(route, sent.transaction)
            # The validator itself: a third less than Receipt(…).
            receipt: Receipt = _to_receipt({"command_id": sent.id, "event_ids": event_ids})
            if key is not None:
                sent.begin().remember_command(key, receipt.model_dump_json())
        except BaseException as error:
            if sent.transaction is not None and sent.outer is None:
                await sent.transaction.__aexit__(type(error), error, error.__traceback__)
            raise
        if sent.transaction is not None and sent.outer is None:
            await sent.transaction.__aexit__(None, None, None)
        return receipt

    @staticmethod
    def _keys(command: Command, key: str) -> Sequence[str]:
        """Under what the command may have been remembered: its name and id, or a name that it had before."""
        if not command.command_aliases:
            return (key,)
        id = key[len(command.message_name) + 1 :]
        return [f"{name}:{id}" for name in command.command_names()]

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

    def begin(self) -> Transaction:
        """A transaction that costs nothing until something is done in it."""
        return self._transactions.begin(lazily=True)

    def metadata(self, sent: "Sent") -> Metadata:
        """What is known of a command that is being handled."""
        command, outer = sent.command, sent.outer
        return Metadata(
            id=sent.id,
            type=command.message_name,
            version=command.message_version,
            source=self._source,
            time=self._clock.now(),
            correlation_id=sent.correlation_id,
            causation_id=None if outer is None else outer.metadata.id,
            traceparent=current_traceparent() or sent.traceparent,
        )


class Sent(Scope):
    """
    One attempt at a command. A handler that asks for nothing costs neither a transaction, nor a unit of work, nor
    metadata: each is made for whoever asks first.
    """

    __slots__ = ("_bus", "_trace", "command", "id", "is_first", "outer", "transaction")

    # As Scope's own, which is not called: that is a tenth of what a command costs.
    def __init__(self, bus: CommandBus, command: Command, id: str, outer: Scope | None) -> None:
        self._metadata = None
        self._unit_of_work = None
        self._values = None
        self.is_open = True
        self._bus = bus
        self._trace: str | None = None
        self.command = command
        self.id = id
        self.outer = outer
        self.is_first = True
        self.transaction: Transaction | None = None

    def again(self) -> "Sent":
        """The next attempt."""
        following = Sent(self._bus, self.command, self.id, self.outer)
        following._trace = self._trace
        following.is_first = False
        return following

    def begin(self) -> Transaction:
        """The transaction, which is the outer message's when there is one."""
        if self.transaction is None:
            self.transaction = self._bus.begin()
        return self.transaction

    def join(self, outer: Scope) -> None:
        """Be handled in the transaction of *outer*. Raises DefinitionError when that is a query."""
        if outer.unit_of_work is None:
            raise DefinitionError(f"a query changes nothing, and the handler of {outer.metadata.type} sends a command")
        self.transaction = outer.unit_of_work.transaction

    async def complete(self) -> tuple[str, ...]:
        """The handler has returned: the ids of what it has led to."""
        unit, self._unit_of_work = self._unit_of_work, None
        if unit is None:
            return ()
        await unit.complete()
        return tuple(unit.event_ids)

    def take_trace(self) -> None:
        """Belong to the span that is current now."""
        self._trace = current_traceparent()

    @property
    def unit_of_work(self) -> UnitOfWork:
        """Made, with a transaction around it, when it is asked for."""
        if self._unit_of_work is None:
            self._unit_of_work = self.begin().unit_of_work(self)
        return self._unit_of_work

    @property
    def correlation_id(self) -> str:
        """The outer message's; its own id with none."""
        outer = self.outer
        return self.id if outer is None else outer.metadata.correlation_id or outer.metadata.id

    @property
    def traceparent(self) -> str | None:
        """Of the span that it was sent in, where spans are traced; the outer message's without one."""
        return self._trace or (None if self.outer is None else self.outer.metadata.traceparent)

    def _make_metadata(self) -> Metadata:
        return self._bus.metadata(self)
