"""
What a configuration key is: its name, type, default, valid values, and what stands in for it when it is not set.

A configuration class is a frozen dataclass whose fields are made by the functions of this module, so that a key is
declared once: `num_partitions: int = integer("num.partitions", 1, at_least=1, documentation="…")`. `keys_of(cls)` reads
them back. Values arrive as text (a properties file, `--set`, CreateTopics) and leave as text (DescribeConfigs);
`ConfigKey.parse` and `ConfigKey.text` are the two ways.

Source  Kafka 4.3.1's `LogConfig` and `KafkaConfig`: names, types, defaults and ranges. Keys that Kafka does not have
        are marked `ours`, and so are other defaults (`kafka_default`).
"""

from collections.abc import Mapping
from dataclasses import field, fields
from enum import IntEnum
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, cast

Value: TypeAlias = bool | int | float | str | tuple[str, ...] | None

INT_MAX = 2**31 - 1
LONG_MAX = 2**63 - 1
_BITS = {3: 32, 4: 16, 5: 64}


class InvalidConfig(ValueError):
    """A key that does not exist, or a value that its key does not take. The text names both, and the way out."""


class ConfigType(IntEnum):
    """DescribeConfigs' numbers for types."""

    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8


class ConfigSource(IntEnum):
    """DescribeConfigs' numbers for where a value comes from."""

    DYNAMIC_TOPIC_CONFIG = 1
    STATIC_BROKER_CONFIG = 4
    DEFAULT_CONFIG = 5


class Synonym(NamedTuple):
    """A broker key that gives a topic key its value, and what its numbers are multiplied by (hours to ms)."""

    name: str
    factor: int = 1


class ConfigKey(NamedTuple):
    """One key. *acts* is False for what is kept and answered without having an effect here."""

    name: str
    type: ConfigType
    default: Value
    documentation: str
    at_least: float | None = None
    at_most: float | None = None
    also: Value = None
    one_of: tuple[str, ...] = ()
    synonyms: tuple[Synonym, ...] = ()
    acts: bool = True
    ours: bool = False
    kafka_default: Value = None
    internal: bool = False

    @property
    def attribute(self) -> str:
        return self.name.replace(".", "_")

    def parse(self, text: str) -> Value:
        """The typed value of *text*. Raises InvalidConfig."""
        text = text.strip()
        match self.type:
            case ConfigType.BOOLEAN:
                if text.lower() not in ("true", "false"):
                    raise self._refused(text)
                return text.lower() == "true"
            case ConfigType.INT | ConfigType.SHORT | ConfigType.LONG | ConfigType.DOUBLE:
                return self._parse_number(text)
            case ConfigType.STRING | ConfigType.CLASS:
                if self.one_of and text not in self.one_of:
                    raise self._refused(text)
                return text
            case ConfigType.LIST:
                items = tuple(item.strip() for item in text.split(",")) if text else ()
                if (self.one_of and not set(items) <= set(self.one_of)) or len(set(items)) != len(items) or "" in items:
                    raise self._refused(text)
                return items

    def text(self, value: Value) -> str | None:
        """*value* as DescribeConfigs answers it; None stays None."""
        match value:
            case None | str():
                return value
            case bool():
                return "true" if value else "false"
            case tuple():
                return ",".join(value)
            case _:
                return str(value)

    def valid_values(self) -> str:
        """What the key takes, for people."""
        if self.one_of:
            several = " (one or more, separated by commas)" if self.type is ConfigType.LIST else ""
            return ", ".join(self.one_of) + several
        match self.type:
            case ConfigType.BOOLEAN:
                return "true, false"
            case ConfigType.STRING | ConfigType.CLASS:
                return "any text"
            case ConfigType.LIST:
                return "names separated by commas"
            case _:
                return self._valid_numbers()

    def _valid_numbers(self) -> str:
        low, high = self._bounds()
        also = "" if self.also is None else f", or {self.also}"
        largest = (2 ** (_BITS[self.type] - 1) - 1) if self.type in _BITS else None
        upwards = high is None or high == largest
        kind = "number" if self.type is ConfigType.DOUBLE else "whole number"
        if low is None and upwards:
            return f"a {kind}{also}"
        return (
            (f"a {kind} from {low}" if low is not None else f"a {kind}")
            + (" upwards" if upwards else f" to {high}")
            + also
        )

    def _bounds(self) -> tuple[float | None, float | None]:
        bits = _BITS.get(self.type)
        low, high = self.at_least, self.at_most
        if bits is not None and high is None:
            high = 2 ** (bits - 1) - 1
        return low, high

    def _parse_number(self, text: str) -> int | float:
        try:
            value = float(text) if self.type is ConfigType.DOUBLE else int(text)
        except ValueError:
            raise self._refused(text) from None
        low, high = self._bounds()
        bits = _BITS.get(self.type)
        if low is None and bits is not None:
            low = -(2 ** (bits - 1))
        # Written so that a NaN, which compares as False with everything, is refused.
        inside = (low is None or value >= low) and (high is None or value <= high)
        if not inside and value != self.also:
            raise self._refused(text)
        return value

    def _refused(self, text: str) -> InvalidConfig:
        default = self.text(self.default)
        shown = "unset" if default is None else default or "empty"
        return InvalidConfig(f"{self.name}={text}: expected {self.valid_values()} (default {shown})")


class ConfigSynonym(NamedTuple):
    """A value that a key would have from one of its sources."""

    name: str
    value: str | None
    source: ConfigSource


class ConfigEntry(NamedTuple):
    """A row of DescribeConfigs: the value in force, where it comes from, and what would be next in line."""

    name: str
    value: str | None
    source: ConfigSource
    read_only: bool
    type: ConfigType
    documentation: str
    synonyms: tuple[ConfigSynonym, ...]
    sensitive: bool = False

    @property
    def is_default(self) -> bool:
        return self.source is ConfigSource.DEFAULT_CONFIG


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]  # Any: typeshed's own declaration


def keys_of(declared: type[_Dataclass]) -> dict[str, ConfigKey]:
    """Name → key, in the order of declaration, of a class whose fields this module made."""
    keys = (cast("ConfigKey | None", each.metadata.get("key")) for each in fields(declared))
    return {key.name: key for key in keys if key is not None}


def unknown_key(name: str, known: Mapping[str, ConfigKey], scope: str) -> InvalidConfig:
    """The refusal of a key that nobody knows, with the closest one that somebody does."""
    from difflib import get_close_matches  # only a refusal pays for it, not every start

    close = get_close_matches(name, known, n=1)
    way_out = f"did you mean {close[0]}?" if close else "docs/reference/configuration.md lists the keys"
    return InvalidConfig(f"unknown {scope} key {name}: {way_out}")


def integer(
    name: str,
    default: int,
    *,
    documentation: str,
    kind: ConfigType = ConfigType.INT,
    at_least: int | None = None,
    at_most: int | None = None,
    also: int | None = None,
    synonyms: tuple[Synonym, ...] = (),
    acts: bool = True,
    ours: bool = False,
    kafka_default: int | None = None,
) -> int:
    """A field for a whole number."""
    key = ConfigKey(
        name,
        kind,
        default,
        documentation,
        at_least=at_least,
        at_most=at_most,
        also=also,
        synonyms=synonyms,
        acts=acts,
        ours=ours,
        kafka_default=kafka_default,
    )
    return cast("int", _field(key))


def optional_integer(
    name: str,
    *,
    documentation: str,
    kind: ConfigType = ConfigType.INT,
    at_least: int | None = None,
    internal: bool = False,
) -> int | None:
    """A field for a whole number that another key stands in for when it is not set."""
    return cast("int | None", _field(ConfigKey(name, kind, None, documentation, at_least=at_least, internal=internal)))


def decimal(
    name: str,
    default: float,
    *,
    documentation: str,
    at_least: float,
    at_most: float,
    synonyms: tuple[Synonym, ...] = (),
    acts: bool = True,
) -> float:
    """A field for a number with a fraction."""
    key = ConfigKey(
        name,
        ConfigType.DOUBLE,
        default,
        documentation,
        at_least=at_least,
        at_most=at_most,
        synonyms=synonyms,
        acts=acts,
    )
    return cast("float", _field(key))


def boolean(
    name: str,
    default: bool,
    *,
    documentation: str,
    synonyms: tuple[Synonym, ...] = (),
    acts: bool = True,
    ours: bool = False,
) -> bool:
    """A field for true or false."""
    key = ConfigKey(name, ConfigType.BOOLEAN, default, documentation, synonyms=synonyms, acts=acts, ours=ours)
    return cast("bool", _field(key))


def text(
    name: str,
    default: str,
    *,
    documentation: str,
    one_of: tuple[str, ...] = (),
    synonyms: tuple[Synonym, ...] = (),
    acts: bool = True,
    kafka_default: str | None = None,
) -> str:
    """A field for a text, or for one of several words."""
    key = ConfigKey(
        name,
        ConfigType.STRING,
        default,
        documentation,
        one_of=one_of,
        synonyms=synonyms,
        acts=acts,
        kafka_default=kafka_default,
    )
    return cast("str", _field(key))


def words(
    name: str,
    default: tuple[str, ...],
    *,
    documentation: str,
    one_of: tuple[str, ...] = (),
    synonyms: tuple[Synonym, ...] = (),
    acts: bool = True,
) -> tuple[str, ...]:
    """A field for a list."""
    key = ConfigKey(name, ConfigType.LIST, default, documentation, one_of=one_of, synonyms=synonyms, acts=acts)
    return cast("tuple[str, ...]", _field(key))


def _field(key: ConfigKey) -> object:
    return field(default=key.default, metadata={"key": key})
