"""
Middleware: what is done around the handling of messages, the same for every handler.

    async def timed(message: Message, call_next: Next, metadata: Metadata) -> object:
        begun = perf_counter()
        try:
            return await call_next()
        finally:
            print(metadata.type, perf_counter() - begun)

    Application("order-service", modules=[…], middleware=[timed])

Which      the annotation of the first parameter says which messages it is for: Message (all), Command, Event, Query, a
           class of the service's own, or a union of them
Needs      parameters beyond call_next are provided by type, as a handler's are, and HandlerDefinition: the handler
Order      the first of the list is the outermost
Where      inside the message's transaction, around each handler of an event and each attempt: what it raises rolls
           back, what it writes is committed with the handler's effects. Transactions, retries and the inbox are around
           it: a delivery commits many messages at once, which nothing that is called for each of them could do
Skipping   a middleware that does not call call_next answers in the handler's place: a query's answer is what it
           returns, a command or event counts as handled
"""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import UnionType
from typing import Any, Final, TypeAlias, Union, get_args, get_origin, get_type_hints

from eventbus.errors import DefinitionError
from eventbus.handlers.arguments import Arguments
from eventbus.handlers.provision import Provider, Provision, Scope
from eventbus.handlers.registry import HandlerDefinition, place_of
from eventbus.messages import Message

Next: TypeAlias = Callable[[], Awaitable[object]]
"""Goes on to the next middleware, and at last to the handler; to be called once. Answers what the handler returns."""
Middleware: TypeAlias = Callable[..., Coroutine[Any, Any, object]]
"""`async def (message, call_next, …) -> object`, or an object that is called like it."""
Handling: TypeAlias = Callable[[Message, Scope], Awaitable[object]]
"""A handler with everything that is around it."""

_OWN_PARAMETERS: Final = 2
_POSITIONAL: Final = frozenset({inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD})


@dataclass(frozen=True, slots=True, eq=False)
class MiddlewareDefinition:
    """A middleware as it was given. Raises DefinitionError (`of`) for what cannot be one."""

    function: Middleware
    name: str
    place: str
    message_types: tuple[type[Message], ...]
    """Those that it is for, and what derives from them."""
    dependencies: tuple[tuple[str, object], ...]

    @classmethod
    def of(cls, given: Middleware) -> "MiddlewareDefinition":
        function: Callable[..., object] = given if inspect.isroutine(given) else type(given).__call__
        named: Callable[..., object] = given if inspect.isroutine(given) else type(given)
        name = f"{named.__module__}.{named.__qualname__}"
        place = place_of(named)
        if not inspect.iscoroutinefunction(function):
            raise DefinitionError(f"{place}: the middleware {name} must be an `async def (message, call_next, …)`")
        try:
            hints = get_type_hints(function)
        except (NameError, AttributeError, TypeError) as error:
            raise DefinitionError(
                f"{place}: an annotation of {name} cannot be evaluated: {error}: import it outside of "
                "`if TYPE_CHECKING`"
            ) from error
        parameters = list(inspect.signature(given).parameters.values())
        if len(parameters) < _OWN_PARAMETERS or any(one.kind not in _POSITIONAL for one in parameters):
            raise DefinitionError(
                f"{place}: the middleware {name} must take the message, call_next and then what it needs, each as a "
                "parameter of its own and none of them by keyword only"
            )
        dependencies = tuple((one.name, hints.get(one.name)) for one in parameters[_OWN_PARAMETERS:])
        for parameter, annotation in dependencies:
            if annotation is None:
                raise DefinitionError(
                    f"{place}: the parameter {parameter} of {name} has no annotation to provide it by"
                )
        message_types = _message_types(hints.get(parameters[0].name, Message))
        if message_types is None:
            raise DefinitionError(
                f"{place}: the first parameter of {name} says which messages it is for: Message, Command, Event, "
                "Query, a class derived from them, or a union of these"
            )
        return cls(given, name, place, message_types, dependencies)

    def is_for(self, message_type: type[Message]) -> bool:
        """Whether messages of *message_type* go through it."""
        return issubclass(message_type, self.message_types)


def wrapped(
    handling: Handling, definition: HandlerDefinition, middleware: Sequence[MiddlewareDefinition], provision: Provision
) -> tuple[Handling, bool]:
    """
    *handling* with the middleware that is for *definition* around it, and whether one of them needs a connection.

    Raises DefinitionError when something cannot be provided.
    """
    needs_connection = False
    for one in reversed(middleware):
        if one.is_for(definition.message_type):
            arguments = Arguments.of(
                one.place,
                one.name,
                one.dependencies,
                provision,
                definition,
                own={HandlerDefinition: _constant(definition)},
            )
            needs_connection = needs_connection or arguments.needs_connection
            handling = _Link(one, arguments, handling)
    return handling, needs_connection


class _Link:
    """One middleware around the rest."""

    __slots__ = ("_arguments", "_definition", "_inner")

    def __init__(self, definition: MiddlewareDefinition, arguments: Arguments, inner: Handling) -> None:
        self._definition = definition
        self._arguments = arguments
        self._inner = inner

    async def __call__(self, message: Message, scope: Scope) -> object:
        function, following = self._definition.function, _Next(self._definition, self._inner, message, scope)
        if self._arguments.gets is not None:
            return await function(message, following, *[get(scope) for get in self._arguments.gets])
        async with AsyncExitStack() as opened:
            return await function(message, following, *await self._arguments.open(scope, opened))


class _Next:
    """What a middleware calls to go on, once."""

    __slots__ = ("_definition", "_inner", "_message", "_scope", "_was_called")

    def __init__(self, definition: MiddlewareDefinition, inner: Handling, message: Message, scope: Scope) -> None:
        self._definition = definition
        self._inner = inner
        self._message = message
        self._scope = scope
        self._was_called = False

    def __call__(self) -> Awaitable[object]:
        if self._was_called:
            # What the first call has loaded and recorded is still there: it would not be a fresh attempt.
            raise DefinitionError(
                f"{self._definition.place}: {self._definition.name} calls call_next twice: retries are a setting of "
                "the handler (@handles(…, attempts=, retries_on_conflict=))"
            )
        self._was_called = True
        return self._inner(self._message, self._scope)


def _constant(value: object) -> Provider:
    return Provider(lambda _: value)


def _message_types(annotation: object) -> tuple[type[Message], ...] | None:
    if get_origin(annotation) in {Union, UnionType}:
        parts = [_message_types(part) for part in get_args(annotation)]
        return None if None in parts else tuple(one for part in parts if part is not None for one in part)
    # Query[int]: which answer it has makes no difference here.
    found: object = get_origin(annotation) or annotation
    if isinstance(found, type) and issubclass(found, Message):
        return (found,)
    return None
