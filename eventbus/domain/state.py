"""
An aggregate's state as bytes, for snapshots: the JSON of its annotated attributes.
"""

from collections.abc import Mapping
from typing import ClassVar, Final, cast, get_origin, get_type_hints
from weakref import WeakKeyDictionary

from pydantic import JsonValue, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from eventbus.domain.aggregate import Aggregate
from eventbus.errors import DefinitionError

_OWN: Final = {"id"}


class StateFormat:
    """
    How the state of one class is written and read. Raises DefinitionError for an annotation that cannot be.

    Attributes are read by their annotations, so that a Decimal, a date or a tuple is one again.
    """

    __slots__ = ("_adapters", "_place")

    def __init__(self, aggregate: type[Aggregate]) -> None:
        self._place = f"{aggregate.__module__}.{aggregate.__qualname__}"
        try:
            self._adapters: Mapping[str, TypeAdapter[object]] = {
                name: TypeAdapter(annotation)
                for name, annotation in get_type_hints(aggregate, include_extras=True).items()
                if name not in _OWN and get_origin(annotation) is not ClassVar and annotation is not ClassVar
            }
        except (NameError, TypeError, PydanticSchemaGenerationError, PydanticUserError) as error:
            raise DefinitionError(f"{self._place}: its state cannot be kept in a snapshot: {error}") from error

    def write(self, aggregate: Aggregate) -> bytes:
        """The state. Raises DefinitionError for an attribute without an annotation: a snapshot would lose it."""
        hidden = f"_{Aggregate.__name__}__"
        for name in vars(aggregate):
            if name not in self._adapters and name not in _OWN and not name.startswith(hidden):
                raise DefinitionError(
                    f"{self._place}.{name} has no annotation, and a snapshot would lose it: annotate it in the class"
                )
        return to_json(
            {
                name: adapter.dump_python(getattr(aggregate, name), mode="json")
                for name, adapter in self._adapters.items()
                if hasattr(aggregate, name)
            }
        )

    def read(self, state: bytes, aggregate: Aggregate) -> bool:
        """Give *aggregate* the state; False, and nothing is changed, when it does not fit the annotations."""
        try:
            found = cast("dict[str, JsonValue]", from_json(state))
            values = {name: adapter.validate_json(to_json(found[name])) for name, adapter in self._adapters.items()}
        except (KeyError, ValueError, ValidationError):
            return False
        for name, value in values.items():
            setattr(aggregate, name, value)
        return True


_formats: Final[WeakKeyDictionary[type[Aggregate], StateFormat]] = WeakKeyDictionary()


def state_format(aggregate: type[Aggregate]) -> StateFormat:
    """The format of a class, made when it is first needed: annotations may name what is defined later."""
    found = _formats.get(aggregate)
    if found is None:
        found = _formats[aggregate] = StateFormat(aggregate)
    return found
