"""
What a handler or a middleware is called with beyond its message: looked up once, come by for each message.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import cast

from eventbus.errors import DefinitionError
from eventbus.handlers.provision import Provider, Provision, Scope
from eventbus.handlers.registry import HandlerDefinition, is_query


@dataclass(frozen=True, slots=True, eq=False)
class Arguments:
    """The providers of one function's parameters, in their order."""

    providers: tuple[Provider, ...]
    gets: tuple[Callable[[Scope], object], ...] | None
    """The providers' functions, when each answers the value itself; None: they must be opened."""
    needs_connection: bool
    """Whether the message's transaction must be open before the function is called."""

    @classmethod
    def of(
        cls,
        place: str,
        name: str,
        dependencies: Sequence[tuple[str, object]],
        provision: Provision,
        handler: HandlerDefinition,
        own: Mapping[object, Provider] | None = None,
    ) -> "Arguments":
        """
        The arguments of the function *name* at *place*, called for the messages of *handler*. *own* is what this call
        provides beside the application.

        Raises DefinitionError with a line for each that cannot be provided.
        """
        found: list[Provider] = []
        faults: list[str] = []
        for parameter, annotation in dependencies:
            try:
                provider = (own or {}).get(annotation) or provision.provider(annotation)
            except DefinitionError as error:
                faults.append(f"{place}: {name} needs {parameter}: {error}")
                continue
            if provider.needs_transaction and is_query(handler.message_type):
                faults.append(_query_changes_nothing(place, name, parameter, handler))
            found.append(provider)
        if faults:
            raise DefinitionError("\n".join(faults))
        only_values = all(provider.way == "value" for provider in found)
        return cls(
            tuple(found),
            tuple(provider.get for provider in found) if only_values else None,
            any(provider.needs_connection for provider in found),
        )

    async def open(self, scope: Scope, opened: AsyncExitStack) -> list[object]:
        """The values for the message of *scope*; what has to be left again is left with *opened*."""
        return [await _open(provider, scope, opened) for provider in self.providers]


async def _open(provider: Provider, scope: Scope, opened: AsyncExitStack) -> object:
    value = provider.get(scope)
    match provider.way:
        case "value":
            return value
        case "awaitable":
            return await cast("Awaitable[object]", value)
        case "context":
            return await opened.enter_async_context(cast("AbstractAsyncContextManager[object]", value))


def _query_changes_nothing(place: str, name: str, parameter: str, handler: HandlerDefinition) -> str:
    if name == handler.name:
        return (
            f"{place}: {name} answers a query, which changes nothing, and {parameter} is for changes: read a View, or "
            "send a command"
        )
    return (
        f"{place}: the middleware {name} is for {handler.message_type.__name__}, a query, which changes nothing, and "
        f"{parameter} is for changes: annotate its message as Command | Event"
    )
