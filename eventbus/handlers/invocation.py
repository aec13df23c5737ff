"""
Calls a handler: everything that can be known before a message comes is known here.
"""

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from contextvars import ContextVar
from functools import partial
from typing import Final, cast

from anyio import to_thread

from eventbus.handlers.arguments import Arguments
from eventbus.handlers.middleware import Handling, MiddlewareDefinition, wrapped
from eventbus.handlers.provision import Provision, Scope
from eventbus.handlers.registry import HandlerDefinition
from eventbus.messages import Message, Metadata
from eventbus.store import UnitOfWork

_current: Final[ContextVar[Scope | None]] = ContextVar("eventbus_scope", default=None)


def current_scope() -> Scope | None:
    """The message that is being handled here; None outside of any handler."""
    scope = _current.get()
    return scope if scope is not None and scope.is_open else None


class Invocation:
    """
    One handler with its middleware around it, ready to be called. Raises DefinitionError when a dependency cannot be
    provided.

    An `async def` runs on the event loop, a plain `def` in a worker thread. What the handler raises goes on with a
    note that names the handler and the message.
    """

    __slots__ = ("_arguments", "_function", "_gets", "_handling", "_is_async", "_needs_connection", "definition")

    def __init__(
        self, definition: HandlerDefinition, provision: Provision, middleware: Sequence[MiddlewareDefinition] = ()
    ) -> None:
        self.definition = definition
        self._function = definition.function
        self._is_async = inspect.iscoroutinefunction(definition.function)
        self._arguments = Arguments.of(
            definition.place, definition.name, definition.dependencies, provision, definition
        )
        self._gets = self._arguments.gets
        self._handling: Handling
        self._handling, needs_connection = wrapped(self._handle, definition, middleware, provision)
        self._needs_connection = needs_connection or self._arguments.needs_connection

    async def __call__(self, message: Message, unit_of_work: UnitOfWork) -> None:
        """
        Handles a command or event within *unit_of_work*. The caller completes that afterwards, and commits.
        """
        if self._needs_connection:
            await unit_of_work.open()
        await self._run(message, Scope(unit_of_work.metadata, unit_of_work))

    async def answer(self, query: Message, metadata: Metadata | Callable[[], Metadata]) -> object:
        """What the handler of a query returns. *metadata* may be what makes it, for whoever asks."""
        return await self._run(query, Scope(metadata, None))

    async def _run(self, message: Message, scope: Scope) -> object:
        token = _current.set(scope)
        try:
            return await self._handling(message, scope)
        except Exception as error:
            error.add_note(
                f"while {self.definition} handled {scope.metadata.type} {scope.metadata.id!r}, "
                f"attempt {scope.metadata.attempt}"
            )
            raise
        finally:
            scope.is_open = False
            _current.reset(token)

    async def _handle(self, message: Message, scope: Scope) -> object:
        if self._gets is None:
            async with AsyncExitStack() as opened:
                return await self._call(message, await self._arguments.open(scope, opened))
        if self._is_async:
            return await cast("Awaitable[object]", self._function(message, *[get(scope) for get in self._gets]))
        return await self._call(message, [get(scope) for get in self._gets])

    async def _call(self, message: Message, arguments: list[object]) -> object:
        if self._is_async:
            return await cast("Awaitable[object]", self._function(message, *arguments))
        # A stop abandons what does not end in time; the thread goes on, its transaction is rolled back.
        result = await to_thread.run_sync(partial(self._function, message, *arguments), abandon_on_cancel=True)
        # A plain function around an `async def`, such as a decorator's.
        return await cast("Awaitable[object]", result) if inspect.isawaitable(result) else result
