"""
Calls a handler: everything that can be known before a message comes is known here.
"""

import inspect
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from contextvars import ContextVar
from functools import partial
from typing import Final, cast

from anyio import to_thread

from eventbus.errors import DefinitionError
from eventbus.handlers.provision import Provider, Provision, Scope
from eventbus.handlers.registry import HandlerDefinition, is_query
from eventbus.messages import Message, Metadata
from eventbus.store import UnitOfWork

_current: Final[ContextVar[Scope | None]] = ContextVar("eventbus_scope", default=None)


def current_scope() -> Scope | None:
    """The message that is being handled here; None outside of any handler."""
    scope = _current.get()
    return scope if scope is not None and scope.is_open else None


class Invocation:
    """
    One handler, ready to be called. Raises DefinitionError when a dependency cannot be provided.

    An `async def` runs on the event loop, a plain `def` in a worker thread. What the handler raises goes on with a
    note that names the handler and the message.
    """

    __slots__ = ("_function", "_gets", "_is_async", "_providers", "definition")

    def __init__(self, definition: HandlerDefinition, provision: Provision) -> None:
        self.definition = definition
        self._function = definition.function
        self._is_async = inspect.iscoroutinefunction(definition.function)
        self._providers: tuple[Provider, ...] = _providers(definition, provision)
        only_values = all(provider.way == "value" for provider in self._providers)
        self._gets = tuple(provider.get for provider in self._providers) if only_values else None

    async def __call__(self, message: Message, unit_of_work: UnitOfWork) -> None:
        """
        Handles a command or event within *unit_of_work*. The caller completes that afterwards, and commits.
        """
        await self._run(message, Scope(unit_of_work.metadata, unit_of_work))

    async def answer(self, query: Message, metadata: Metadata) -> object:
        """What the handler of a query returns."""
        return await self._run(query, Scope(metadata, None))

    async def _run(self, message: Message, scope: Scope) -> object:
        token = _current.set(scope)
        try:
            if self._gets is not None:
                return await self._call(message, [get(scope) for get in self._gets])
            async with AsyncExitStack() as opened:
                return await self._call(message, [await _open(one, scope, opened) for one in self._providers])
        except Exception as error:
            error.add_note(
                f"while {self.definition} handled {scope.metadata.type} {scope.metadata.id!r}, "
                f"attempt {scope.metadata.attempt}"
            )
            raise
        finally:
            scope.is_open = False
            _current.reset(token)

    async def _call(self, message: Message, arguments: list[object]) -> object:
        if self._is_async:
            return await cast("Awaitable[object]", self._function(message, *arguments))
        # A stop abandons what does not end in time; the thread goes on, its transaction is rolled back.
        result = await to_thread.run_sync(partial(self._function, message, *arguments), abandon_on_cancel=True)
        # A plain function around an `async def`, such as a decorator's.
        return await cast("Awaitable[object]", result) if inspect.isawaitable(result) else result


async def _open(provider: Provider, scope: Scope, opened: AsyncExitStack) -> object:
    value = provider.get(scope)
    match provider.way:
        case "value":
            return value
        case "awaitable":
            return await cast("Awaitable[object]", value)
        case "context":
            return await opened.enter_async_context(cast("AbstractAsyncContextManager[object]", value))


def _providers(definition: HandlerDefinition, provision: Provision) -> tuple[Provider, ...]:
    found: list[Provider] = []
    faults: list[str] = []
    for name, annotation in definition.dependencies:
        try:
            provider = provision.provider(annotation)
        except DefinitionError as error:
            faults.append(f"{definition.place}: {definition.name} needs {name}: {error}")
            continue
        if provider.needs_transaction and is_query(definition.message_type):
            faults.append(
                f"{definition.place}: {definition.name} answers a query, which changes nothing, and {name} is for "
                "changes: read a View, or send a command"
            )
        found.append(provider)
    if faults:
        raise DefinitionError("\n".join(faults))
    return tuple(found)
