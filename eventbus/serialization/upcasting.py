"""
Upcasters: events written by an older self are turned into today's shape when they are read; the log is not rewritten.

    @upcasts("OrderPlaced", from_version=1)
    def _with_currency(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
        return {**data, "currency": "EUR"}

Each goes one version up; they are chained. What is missing in a chain is found when the application is built.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Final, TypeAlias

from pydantic import JsonValue

from eventbus.errors import DefinitionError, UndecodableMessage
from eventbus.messages import Event

Upcast: TypeAlias = Callable[[dict[str, JsonValue]], dict[str, JsonValue]]
_MARK: Final = "__eventbus_upcasts__"


@dataclass(frozen=True, slots=True)
class Upcaster:
    """One step: what turns *from_version* of the event *name* into the next version."""

    name: str
    from_version: int
    function: Upcast

    @property
    def place(self) -> str:
        """`module:line`."""
        return f"{self.function.__module__}:{self.function.__code__.co_firstlineno}"


def upcasts(name: str, *, from_version: int) -> Callable[[Upcast], Upcast]:
    """Marks a pure function from the JSON object of *from_version* to that of the next version."""
    if from_version < 1:
        raise DefinitionError(f"@upcasts({name!r}, from_version={from_version}): versions are counted from 1")

    def mark(function: Upcast) -> Upcast:
        setattr(function, _MARK, (name, from_version))
        return function

    return mark


def find_upcasters(modules: Iterable[ModuleType]) -> Iterator[Upcaster]:
    """The marked functions that are defined in *modules*; an imported one does not count."""
    for module in modules:
        for value in vars(module).values():
            marked = getattr(value, _MARK, None)
            if marked is not None and getattr(value, "__module__", None) == module.__name__:
                yield Upcaster(marked[0], marked[1], value)


class Upcasters:
    """
    The chains of one application. Raises DefinitionError where two upcasters claim one step.

    An event that had another name before has one chain: a step may be marked with any of its names.
    """

    __slots__ = ("_chains", "_steps")

    def __init__(self, upcasters: Iterable[Upcaster] = ()) -> None:
        steps: dict[str, dict[int, Upcaster]] = {}
        for upcaster in upcasters:
            other = steps.setdefault(upcaster.name, {}).setdefault(upcaster.from_version, upcaster)
            if other is not upcaster:
                raise DefinitionError(_two(upcaster.name, other, upcaster))
        self._steps: Mapping[str, Mapping[int, Upcaster]] = steps
        self._chains: dict[type[Event], Mapping[int, Upcaster]] = {}

    def faults(self, event: type[Event]) -> list[str]:
        """What is missing, or too much, for *event*: a sentence each."""
        try:
            chain = self._chain(event)
        except DefinitionError as error:
            return [str(error)]
        found = [
            f"{event.message_name} is version {event.message_version}, and nothing turns version {version} into "
            f"{version + 1}: add @upcasts({event.message_name!r}, from_version={version})"
            for version in range(1, event.message_version)
            if version not in chain
        ]
        found += [
            f"{upcaster.place}: @upcasts({upcaster.name!r}, from_version={version}) leads beyond version "
            f"{event.message_version}, which is the newest"
            for version, upcaster in sorted(chain.items())
            if version >= event.message_version
        ]
        return found

    def upcast(self, event: type[Event], version: int, data: dict[str, JsonValue]) -> dict[str, JsonValue]:
        """
        *data* of *version* in the shape of the class *event*.

        Raises UndecodableMessage when a step fails on these data or is missing, as one from version 0 always is.
        """
        chain = self._chain(event)
        name = event.message_name
        for step in range(version, event.message_version):
            upcaster = chain.get(step)
            if upcaster is None:
                raise UndecodableMessage(f"{name} v{step}: nothing turns it into version {step + 1}")
            try:
                data = upcaster.function(data)
            except Exception as error:
                raise UndecodableMessage(
                    f"{name} v{step}: the upcaster {upcaster.place} failed: {type(error).__name__}: {error}"
                ) from error
        return data

    def _chain(self, event: type[Event]) -> Mapping[int, Upcaster]:
        known = self._chains.get(event)
        if known is not None:
            return known
        chain: dict[int, Upcaster] = {}
        for name in event.event_names():
            for version, upcaster in self._steps.get(name, {}).items():
                other = chain.setdefault(version, upcaster)
                if other is not upcaster:
                    raise DefinitionError(_two(event.message_name, other, upcaster))
        self._chains[event] = chain
        return chain


def _two(name: str, one: Upcaster, other: Upcaster) -> str:
    return f"{name} version {other.from_version} has two upcasters: {one.place} and {other.place}"
