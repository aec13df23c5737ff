"""
The handlers of one application: the marked functions that are defined in its modules.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import CodeType, ModuleType
from typing import Any, Final, get_type_hints

from typing_extensions import TypeIs

from eventbus.errors import DefinitionError
from eventbus.handlers.decorators import MARK, HandlerOptions, Mark
from eventbus.handlers.faults import Faults
from eventbus.messages import Command, Event, Message, Query

_POSITIONAL: Final = frozenset({inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD})


@dataclass(frozen=True, slots=True, eq=False)
class HandlerDefinition:
    """A marked function."""

    name: str
    """`module.function`: stable as long as nobody moves it."""
    function: Callable[..., object]
    message_type: type[Message]
    options: HandlerOptions
    place: str
    """`module:line`, for errors."""
    dependencies: tuple[tuple[str, object], ...] = field(default=())
    """Name and evaluated annotation of each parameter beyond the message."""

    def __str__(self) -> str:
        return f"{self.name} ({self.place})"


def find_handlers(modules: Iterable[ModuleType], faults: Faults) -> Iterator[HandlerDefinition]:
    """
    The marked functions that are defined in *modules*, in their order; an imported one does not count, a package is
    one module. What cannot be a handler is added to *faults*.
    """
    for module in modules:
        found = {id(value): value for value in vars(module).values() if _is_defined_in(module, value)}
        for function in found.values():
            mark: Mark = getattr(function, MARK)
            with faults.collected():
                yield _definition(function, mark)


class Handlers:
    """
    What handles which message in one application.

    Faults: two handlers of a command or query; a command or query defined in these modules without any.
    """

    __slots__ = ("commands", "events", "queries")

    def __init__(self, modules: Sequence[ModuleType], faults: Faults) -> None:
        self.commands: Mapping[type[Command], HandlerDefinition]
        self.queries: Mapping[type[Query[object]], HandlerDefinition]
        self.events: Mapping[type[Event], Sequence[HandlerDefinition]]
        commands: dict[type[Command], HandlerDefinition] = {}
        queries: dict[type[Query[object]], HandlerDefinition] = {}
        events: dict[type[Event], list[HandlerDefinition]] = {}
        for definition in find_handlers(modules, faults):
            message_type = definition.message_type
            if issubclass(message_type, Event):
                events.setdefault(message_type, []).append(definition)
                continue
            if issubclass(message_type, Command):
                other = commands.setdefault(message_type, definition)
            elif is_query(message_type):
                other = queries.setdefault(message_type, definition)
            else:
                faults.add(f"{definition.place}: {message_type.__name__} is no Command, Event or Query")
                continue
            if other is not definition:
                faults.add(f"{message_type.__name__} has two handlers: {other} and {definition}")
        self.commands, self.queries, self.events = commands, queries, events
        for message_type in _defined_messages(modules):
            if message_type not in commands and message_type not in queries:
                faults.add(
                    f"{message_type.__module__}:{_line(message_type)}: {message_type.__name__} has no handler: "
                    f"mark one by @handles({message_type.__name__}), or give the module that defines it to modules="
                )

    def __iter__(self) -> Iterator[HandlerDefinition]:
        yield from self.commands.values()
        yield from self.queries.values()
        for definitions in self.events.values():
            yield from definitions


def is_query(message_type: type[Message]) -> TypeIs[type[Query[object]]]:
    """Whether *message_type* is answered rather than handled."""
    return issubclass(message_type, Query)


def only_modules(given: Sequence[object], faults: Faults) -> list[ModuleType]:
    """Those of *given* that are modules; what is none, such as a module's name, is a fault."""
    for one in given:
        if not isinstance(one, ModuleType):
            faults.add(f"modules=[…, {one!r}, …]: not a module: import it and give the module itself")
    return [one for one in given if isinstance(one, ModuleType)]


def _is_defined_in(module: ModuleType, value: object) -> bool:
    return hasattr(value, MARK) and getattr(value, "__module__", None) == module.__name__


def _defined_messages(modules: Sequence[ModuleType]) -> Iterator[type[Message]]:
    for module in modules:
        for value in vars(module).values():
            # One that others derive from is a shape that they share, not a message that is sent.
            if (
                isinstance(value, type)
                and issubclass(value, Command | Query)
                and value.__module__ == module.__name__
                and not value.__subclasses__()
            ):
                yield value


def _definition(function: Callable[..., object], mark: Mark) -> HandlerDefinition:
    name = f"{function.__module__}.{getattr(function, '__qualname__', repr(function))}"
    place = place_of(function)
    try:
        hints = get_type_hints(function)
    except (NameError, AttributeError, TypeError) as error:
        raise DefinitionError(
            f"{place}: an annotation of {name} cannot be evaluated: {error}: import it outside of `if TYPE_CHECKING`"
        ) from error
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or any(one.kind not in _POSITIONAL for one in parameters):
        raise DefinitionError(
            f"{place}: {name} must take the message and then what it needs, each as a parameter of its own and none of "
            "them by keyword only"
        )
    _check_message(place, name, parameters[0], hints, mark)
    dependencies: list[tuple[str, object]] = []
    for parameter in parameters[1:]:
        if parameter.name not in hints:
            raise DefinitionError(
                f"{place}: the parameter {parameter.name} of {name} has no annotation to provide it by"
            )
        dependencies.append((parameter.name, hints[parameter.name]))
    return HandlerDefinition(name, function, mark.message_type, mark.options, place, tuple(dependencies))


def _check_message(place: str, name: str, first: inspect.Parameter, hints: Mapping[str, Any], mark: Mark) -> None:
    annotation: object = hints.get(first.name, mark.message_type)
    if isinstance(annotation, type) and not issubclass(mark.message_type, annotation):
        raise DefinitionError(
            f"{place}: {name} is marked by @handles({mark.message_type.__name__}) and takes a {annotation.__name__}"
        )


def place_of(function: Callable[..., object]) -> str:
    """`module:line`."""
    return f"{function.__module__}:{_line(function)}"


def _line(value: Callable[..., object]) -> int:
    """Where *value* is defined; 0 when its source is not at hand."""
    code = getattr(inspect.unwrap(value), "__code__", None)
    if isinstance(code, CodeType):
        return code.co_firstlineno
    try:
        return inspect.getsourcelines(value)[1]
    except (OSError, TypeError):
        return 0
