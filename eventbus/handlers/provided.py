"""
What the user provides: `Application(provide=[…])`.

    settings                       an instance: for its class and every class that it derives from
    make_gateway                   a function with a return annotation: called once, when the application starts
    Gateway                        a class: the same
    @asynccontextmanager client    left again when the application stops
    per_message(unit_prices)       any of these, once for each message and only where a handler asks for it

Their parameters are provided by type too.
"""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Literal, TypeAlias, TypeVar, cast, get_args, get_origin, get_type_hints

from eventbus.errors import DefinitionError
from eventbus.handlers.provision import Provider, Provision, Scope, shown

T = TypeVar("T")
Way: TypeAlias = Literal["value", "awaitable", "context"]


@dataclass(frozen=True, slots=True)
class PerMessage(Generic[T]):
    """A factory whose value lives as long as one message is handled."""

    factory: Callable[..., T]


def per_message(factory: Callable[..., T], /) -> PerMessage[T]:
    """Has *factory* called for each message whose handler asks for its type, instead of once at start."""
    return PerMessage(factory)


@dataclass(frozen=True, slots=True, eq=False)
class _Factory:
    annotation: object
    make: Callable[..., object]
    parameters: tuple[object, ...]
    way: Way
    is_per_message: bool


class Provided:
    """
    The user's things as a Source. Raises DefinitionError for a function without a return annotation.

    `opened` makes those of the application; before it is entered they cannot be used.
    """

    __slots__ = ("_factories", "_instances", "_made", "_making", "_provision")

    def __init__(self, given: Sequence[object]) -> None:
        self._instances: list[object] = []
        self._factories: list[_Factory] = []
        self._made: dict[_Factory, object] = {}
        self._making: list[_Factory] = []
        self._provision: Provision | None = None
        for one in given:
            if isinstance(one, PerMessage):
                self._factories.append(_factory(cast("PerMessage[object]", one).factory, is_per_message=True))
            elif inspect.isroutine(one) or inspect.isclass(one):
                self._factories.append(_factory(one, is_per_message=False))
            else:
                self._instances.append(one)

    def join(self, provision: Provision) -> None:
        """Gives the factories what they take their own parameters from. Raises DefinitionError when one is missing."""
        self._provision = provision
        for factory in self._factories:
            provision.provider(factory.annotation)

    def source(self, annotation: object) -> Provider | None:
        """The provider of *annotation*. Raises DefinitionError when two things would do."""
        instances = [one for one in self._instances if _is_a(one, annotation)]
        factories = [one for one in self._factories if _makes(one, annotation)]
        if len(instances) + len(factories) > 1:
            names = ", ".join([repr(one) for one in instances] + [one.make.__qualname__ for one in factories])
            raise DefinitionError(f"{shown(annotation)} is provided {len(instances) + len(factories)} times: {names}")
        if instances:
            instance = instances[0]
            return Provider(lambda _: instance)
        return self._provider(factories[0]) if factories else None

    @asynccontextmanager
    async def opened(self) -> AsyncGenerator[None, None]:
        """Makes what lives as long as the application, in the order in which it depends on itself."""
        async with AsyncExitStack() as stack:
            for factory in self._factories:
                if not factory.is_per_message:
                    await self._make(factory, stack)
            try:
                yield
            finally:
                self._made.clear()

    async def _make(self, factory: _Factory, stack: AsyncExitStack) -> object:
        if factory in self._made:
            return self._made[factory]
        arguments: list[object] = []
        for annotation in factory.parameters:
            needed = next((one for one in self._factories if _makes(one, annotation)), None)
            arguments.append(
                next(one for one in self._instances if _is_a(one, annotation))
                if needed is None
                else await self._make(needed, stack)
            )
        value = factory.make(*arguments)
        if factory.way == "awaitable":
            value = await cast("Awaitable[object]", value)
        elif factory.way == "context":
            value = await stack.enter_async_context(cast("AbstractAsyncContextManager[object]", value))
        self._made[factory] = value
        return value

    def _provider(self, factory: _Factory) -> Provider:
        if factory in self._making:
            circle = " → ".join(one.make.__qualname__ for one in [*self._making, factory])
            raise DefinitionError(f"what is provided depends on itself: {circle}")
        self._making.append(factory)
        try:
            return self._per_message(factory) if factory.is_per_message else self._per_application(factory)
        finally:
            self._making.pop()

    def _per_application(self, factory: _Factory) -> Provider:
        for annotation in factory.parameters:
            others = [one for one in self._factories if _makes(one, annotation)]
            if any(one.is_per_message for one in others):
                raise DefinitionError(
                    f"{factory.make.__qualname__} is made once and needs {shown(annotation)}, "
                    "which is made for each message"
                )
            if self.source(annotation) is None:
                raise DefinitionError(
                    f"{factory.make.__qualname__} is made at start and needs {shown(annotation)}, which is not "
                    "provided then: wrap it in per_message(…) if it belongs to a message"
                )
        made = self._made

        def get(_: Scope) -> object:
            if factory not in made:
                raise DefinitionError(
                    f"{factory.make.__qualname__} is made when the application starts: enter app.lifespan"
                )
            return made[factory]

        return Provider(get)

    def _per_message(self, factory: _Factory) -> Provider:
        if self._provision is None:
            raise DefinitionError(f"{factory.make.__qualname__} is asked for before the application is built")
        providers = [self._provision.provider(annotation) for annotation in factory.parameters]
        for annotation, provider in zip(factory.parameters, providers, strict=True):
            if provider.way != "value":
                raise DefinitionError(
                    f"{factory.make.__qualname__} needs {shown(annotation)}, which is opened for each message: take it "
                    "as a parameter of the handler, or open it in one factory"
                )
        gets = tuple(provider.get for provider in providers)
        return Provider(
            lambda scope: factory.make(*[get(scope) for get in gets]),
            needs_transaction=any(provider.needs_transaction for provider in providers),
            needs_connection=any(provider.needs_connection for provider in providers),
            way=factory.way,
        )


def _factory(make: Callable[..., object], *, is_per_message: bool) -> _Factory:
    name = f"{make.__module__}.{make.__qualname__}"
    try:
        hints = get_type_hints(make.__init__ if inspect.isclass(make) else make)
    except (NameError, TypeError) as error:
        raise DefinitionError(f"{name}: an annotation cannot be evaluated: {error}") from error
    parameters = tuple(
        hints.get(parameter.name)
        for parameter in inspect.signature(make).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    )
    if None in parameters:
        raise DefinitionError(f"{name} is provided, and a parameter of it has no annotation to provide it by")
    if inspect.isclass(make):
        return _Factory(make, make, parameters, "value", is_per_message)
    annotation: object = hints.get("return")
    if annotation in {None, type(None)}:
        raise DefinitionError(f"{name} is provided, and has no return annotation that says which type it makes")
    if get_origin(annotation) in {AsyncIterator, AsyncGenerator}:
        opening = asynccontextmanager(make) if inspect.isasyncgenfunction(make) else make
        return _Factory(get_args(annotation)[0], opening, parameters, "context", is_per_message)
    way: Way = "awaitable" if inspect.iscoroutinefunction(make) else "value"
    return _Factory(annotation, make, parameters, way, is_per_message)


def _is_a(instance: object, annotation: object) -> bool:
    return _derives(type(instance), annotation)


def _makes(factory: _Factory, annotation: object) -> bool:
    made = factory.annotation
    return made == annotation or (isinstance(made, type) and _derives(made, annotation))


def _derives(cls: type, annotation: object) -> bool:
    if not isinstance(annotation, type) or annotation is object:
        return False
    if annotation in cls.__mro__:
        return True
    try:
        return issubclass(cls, annotation)
    except TypeError:  # a protocol that cannot be asked at run time
        return False
