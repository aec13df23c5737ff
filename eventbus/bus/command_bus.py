"""
Sends a command to its handler, in one transaction.
"""

from collections.abc import Mapping
from typing import Final
from uuid import uuid4

from eventbus.clock import Clock
from eventbus.errors import ConcurrencyConflict, DefinitionError
from eventbus.handlers import Invocation, current_scope
from eventbus.messages import Command, Message, Metadata, Receipt
from eventbus.observability import (
    COMMANDS_FAILED,
    COMMANDS_HANDLED,
    COMMANDS_REPEATED,
    COMMANDS_RETRIED,
    Counters,
    command_span,
    current_traceparent,
)
from eventbus.store import CommandRepeated, Transaction, Transactions

_ID_CHARACTERS_MAX: Final = 200


class CommandBus:
    """
    `send` handles a command here and now: the events that it leads to, the outbox rows and the caller's id are
    committed together, or nothing is.

    A command sent from inside a handler joins the transaction of the message that is being handled. It does not see
    what that handler's aggregates have recorded so far: send commands to other aggregates than those that are loaded.
    """

    __slots__ = ("_clock", "_counters", "_invocations", "_source", "_transactions")

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

    async def send(self, command: Command, *, id: str | None = None) -> Receipt:
        """
        Handles *command*. With *id* (an HTTP Idempotency-Key, say) it is handled once however often it is sent: the
        first receipt is answered again, also to whoever sends at the same time.

        Raises what the handler raises; ConcurrencyConflict when that was the outcome of every retry; DefinitionError
        without a handler; DatabaseUnavailable.
        """
        invocation = self._invocations.get(type(command))
        if invocation is None:
            raise DefinitionError(
                f"{self._source} has no handler for {type(command).__module__}.{type(command).__qualname__}: "
                "give the module of its handler to Application(modules=[…])"
            )
        if id is not None and not 0 < len(id) <= _ID_CHARACTERS_MAX:
            raise ValueError(f"a command's id has 1 to {_ID_CHARACTERS_MAX} characters, this one {len(id)}")
        metadata = self._metadata(command, id)
        with command_span(metadata.type, metadata.id):
            try:
                receipt = await self._send(invocation, command, metadata, is_repeatable=id is None)
            except Exception:
                self._counters.add(COMMANDS_FAILED, type=metadata.type)
                raise
        self._counters.add(COMMANDS_HANDLED, type=metadata.type)
        return receipt

    async def _send(
        self, invocation: Invocation, command: Command, metadata: Metadata, *, is_repeatable: bool
    ) -> Receipt:
        key = None if is_repeatable else f"{metadata.type}:{metadata.id}"
        scope = current_scope()
        if scope is not None:
            if scope.unit_of_work is None:
                raise DefinitionError(
                    f"a query changes nothing, and the handler of {scope.metadata.type} sends a command"
                )
            # A conflict is the outer message's to retry: its transaction cannot be half done again.
            return await self._handle(invocation, command, metadata, key, scope.unit_of_work.transaction)
        retries = invocation.definition.options.retries_on_conflict
        lazily = True
        while True:
            try:
                async with self._transactions.begin(lazily=lazily) as transaction:
                    return await self._handle(invocation, command, metadata, key, transaction)
            except (ConcurrencyConflict, CommandRepeated) as error:
                if isinstance(error, CommandRepeated) and error.command_id == key:
                    self._counters.add(COMMANDS_REPEATED, type=metadata.type)
                    return Receipt.model_validate_json(error.receipt)
                if retries == 0:
                    raise
                retries -= 1
                # In a transaction of its own, which on SQLite keeps everybody else out: there it is the last time.
                lazily = False
                self._counters.add(COMMANDS_RETRIED, type=metadata.type)

    async def _handle(
        self, invocation: Invocation, command: Command, metadata: Metadata, key: str | None, transaction: Transaction
    ) -> Receipt:
        if key is not None:
            earlier = await transaction.find_command(key)
            if earlier is not None:
                self._counters.add(COMMANDS_REPEATED, type=metadata.type)
                return Receipt.model_validate_json(earlier)
        unit_of_work = transaction.unit_of_work(metadata)
        await invocation(command, unit_of_work)
        await unit_of_work.complete()
        receipt = Receipt(command_id=metadata.id, event_ids=tuple(unit_of_work.event_ids))
        if key is not None:
            transaction.remember_command(key, receipt.model_dump_json())
        return receipt

    def _metadata(self, command: Command, id: str | None) -> Metadata:
        scope = current_scope()
        own_id = id or str(uuid4())
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
