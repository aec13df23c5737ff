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
from eventbus.handlers.provision import Provision, Scope, unit_of_work_of
from eventbus.handlers.registry import HandlerDefinition
from eventbus.messages import Message
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

    __slots__ = ("_handling", "_needs_connection", "definition")

    def __init__(
        self, definition: HandlerDefinition, provision: Provision, middleware: Sequence[MiddlewareDefinition] = ()
    ) -> None:
        self.definition = definition
        arguments = Arguments.of(definition.place, definition.name, definition.dependencies, provision, definition)
        self._handling: Handling
        self._handling, needs_connection = wrapped(
            _handling(definition.function, arguments), definition, middleware, provision
        )
        self._needs_connection = needs_connection or arguments.needs_connection

    async def __call__(self, message: Message, unit_of_work: UnitOfWork) -> None:
        """
        Handles a command or event within *unit_of_work*. The caller completes that afterwards, and commits.
        """
        await self.within(Scope(unit_of_work.metadata, unit_of_work), message)

    async def within(self, scope: Scope, message: Message) -> object:
        """What the handler returns: a query's answer."""
        if self._needs_connection:
            await unit_of_work_of(scope).open()
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
            scope.close()
            _current.reset(token)


def _handling(function: Callable[..., object], arguments: Arguments) -> Handling:
    """The call of *function* in the cheapest way that its parameters allow, without a coroutine around it if any."""
    gets = arguments.gets
    if gets is None:
        return _opening(function, arguments)
    if not inspect.iscoroutinefunction(function):
        return lambda message, scope: _in_thread(function, message, [get(scope) for get in gets])
    called = cast("Callable[..., Awaitable[object]]", function)
    if not gets:
        return lambda message, _: called(message)
    if len(gets) == 1:
        (only,) = gets
        return lambda message, scope: called(message, only(scope))
    return lambda message, scope: called(message, *[get(scope) for get in gets])


def _opening(function: Callable[..., object], arguments: Arguments) -> Handling:
    is_async = inspect.iscoroutinefunction(function)

    async def handle(message: Message, scope: Scope) -> object:
        async with AsyncExitStack() as opened:
            values = await arguments.open(scope, opened)
            if is_async:
                return await cast("Awaitable[object]", function(message, *values))
            return await _in_thread(function, message, values)

    return handle


async def _in_thread(function: Callable[..., object], message: Message, arguments: Sequence[object]) -> object:
    # A stop abandons what does not end in time; the thread goes on, its transaction is rolled back.
    result = await to_thread.run_sync(partial(function, message, *arguments), abandon_on_cancel=True)
    # A plain function around an `async def`, such as a decorator's.
    return await cast("Awaitable[object]", result) if inspect.isawaitable(result) else result
