"""
How a message is declared: once, with all its versions.

    class FetchPartition(Struct):
        partition: Annotated[int, "int32 0+"] = 0
        current_leader_epoch: Annotated[int, "int32 9+"] = -1
        aborted: Annotated[Sequence[AbortedTransaction] | None, "[]struct 4+ null 4+"] = ()
        replica_directory_id: Annotated[UUID, "uuid 17+ tag 0"] = NO_UUID

Grammar of the wire text
    text      type versions [null versions] [tag number]
    type      bool int8 int16 uint16 int32 uint32 int64 float64 uuid string bytes records struct, or [] before one
    versions  "3+" from 3 on, "3-5" both included, "3" alone
Order       fields are on the wire in the order of the declaration, tagged ones at the end of their struct, by tag
Defaults    what a field has when its version does not carry it, and the value of a tagged field that is not sent
            (a tagged struct that is absent is None). A value that the version cannot carry is left out silently.
Types       `Sequence` fields are given lists by the decoder and take any sequence from who builds a message

A declared class is slotted, is built by keyword, compares by value, and costs next to nothing until it is first used:
its constructor is compiled at the first call, its codecs at the first message of each version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import NoneType
from typing import ClassVar, NamedTuple, cast, dataclass_transform, get_args, get_type_hints

from broker.wire.apis import APIS, Api, ApiKey

MAX_VERSION = 0x7FFF


class Versions(NamedTuple):
    """A range of versions, both ends included."""

    lowest: int
    highest: int

    @classmethod
    def parse(cls, text: str) -> Versions:
        """From "3+", "3-5" or "3"; ValueError for anything else."""
        if text.endswith("+"):
            return cls(int(text[:-1]), MAX_VERSION)
        lowest, _, highest = text.partition("-")
        return cls(int(lowest), int(highest or lowest))

    def __contains__(self, version: object) -> bool:
        return isinstance(version, int) and self.lowest <= version <= self.highest


NO_VERSIONS = Versions(0, -1)


class Field(NamedTuple):
    """One declared field. *kind* is the wire type without "[]"; *struct* is its class where kind is "struct"."""

    name: str
    kind: str
    is_array: bool
    versions: Versions
    nullable: Versions
    tag: int | None
    default: object
    struct: type[Struct] | None


class _Required:
    """Stands for the default of a field that has none."""


REQUIRED = _Required()


@dataclass_transform(kw_only_default=True, eq_default=True)
class StructType(type):
    """Gives a declared class its slots; what the annotations say is read at first use."""

    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, object], **keywords: object
    ) -> StructType:
        annotations = cast("dict[str, str]", namespace.get("__annotations__", {}))
        names = [name for name, text in annotations.items() if not text.startswith("ClassVar")]
        namespace["declared_defaults"] = {name: namespace.pop(name, REQUIRED) for name in names}
        namespace["__slots__"] = tuple(names)
        return super().__new__(cls, name, bases, namespace, **keywords)


class Struct(metaclass=StructType):
    """A declared struct: a part of a message."""

    declared_defaults: ClassVar[dict[str, object]]

    def __init__(self, **values: object) -> None:
        # Replaces itself by a compiled constructor, which is several times faster than this one could be.
        cls = type(self)
        cls.__init__ = compile_constructor(cls.declared_defaults)  # type: ignore[method-assign]  # of this very signature
        cls.__init__(self, **values)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_plain(getattr(self, name)) == _plain(getattr(other, name)) for name in self.declared_defaults)

    __hash__ = None  # type: ignore[assignment]  # a message can be changed

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.declared_defaults)
        return f"{type(self).__name__}({values})"


def _plain(value: object) -> object:
    """A list for any sequence of items: what was decoded is a list, what was built may be a tuple."""
    return list(cast("tuple[object, ...]", value)) if isinstance(value, tuple) else value


class Message(Struct):
    """A declared request or response. *api* is its row in the table of APIs."""

    api: ClassVar[Api]

    def __init_subclass__(cls, api: ApiKey | None = None) -> None:
        if api is not None:
            cls.api = APIS[api]


class Request(Message):
    """What a client asks."""


class Response(Message):
    """What a broker answers."""


def compile_constructor(defaults: Mapping[str, object]) -> Callable[..., None]:
    """A constructor that takes *defaults* by position or by name."""
    scope = {f"default_{name}": value for name, value in defaults.items()}
    required = [name for name, value in defaults.items() if value is REQUIRED]
    optional = [f"{name}=default_{name}" for name, value in defaults.items() if value is not REQUIRED]
    body = [f"    self.{name} = {name}" for name in defaults] or ["    pass"]
    head = ", ".join(["self", *required, *optional])
    exec("\n".join([f"def __init__({head}):", *body]), scope)  # noqa: S102  # of declared names only
    return cast("Callable[..., None]", scope["__init__"])


_fields: dict[type[Struct], tuple[Field, ...]] = {}


def fields_of(struct: type[Struct]) -> tuple[Field, ...]:
    """The fields of a declared class, in the order of the declaration."""
    known = _fields.get(struct)
    if known is None:
        hints = get_type_hints(struct, include_extras=True)
        known = _fields[struct] = tuple(
            _field(name, hints[name], struct.declared_defaults[name]) for name in struct.declared_defaults
        )
    return known


def _field(name: str, annotation: object, default: object) -> Field:
    python_type, text = get_args(annotation)
    kind, versions, *options = text.split()
    nullable, tag = NO_VERSIONS, None
    for option, value in zip(options[::2], options[1::2], strict=True):
        if option == "null":
            nullable = Versions.parse(value)
        elif option == "tag":
            tag = int(value)
        else:
            raise ValueError(f"{name}: unknown word {option!r} in the declaration {text!r}")
    is_array = kind.startswith("[]")
    kind = kind.removeprefix("[]")
    struct = _struct_in(python_type) if kind == "struct" else None
    return Field(name, kind, is_array, Versions.parse(versions), nullable, tag, default, struct)


def _struct_in(python_type: object) -> type[Struct]:
    """The declared class in `X`, `X | None`, `Sequence[X]` or `Sequence[X] | None`."""
    if isinstance(python_type, StructType):
        return cast("type[Struct]", python_type)
    for argument in get_args(python_type):
        if argument is not NoneType:
            return _struct_in(argument)
    raise TypeError(f"no declared class in {python_type}")
