"""The broker's own keys. Most topic keys have a broker key that gives their default; those are here as well."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.config.connection_keys import ConnectionKeys
from broker.config.group_keys import GroupKeys
from broker.config.kept import KEPT_KEYS
from broker.config.keys import (
    ConfigEntry,
    ConfigKey,
    ConfigSource,
    ConfigSynonym,
    InvalidConfig,
    Value,
    keys_of,
    unknown_key,
)
from broker.config.log_keys import LogKeys
from broker.config.refused import is_protective, refuse_protection
from broker.config.transaction_keys import TransactionKeys


# The last base's keys come first.
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BrokerConfig(TransactionKeys, GroupKeys, LogKeys, ConnectionKeys):
    """
    Every broker key with its value; the name of an attribute is the key with '_' for '.'.

    Keys and defaults are Kafka's unless the key says otherwise. `set_keys` holds the texts of what was set.
    """

    set_keys: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> "BrokerConfig":
        """
        The configuration with *texts* (key → value) set. Raises InvalidConfig for the first bad one.

        Keys that are only kept are checked, too. Keys that ask for a protection that is not here are refused.
        """
        values: dict[str, Any] = {}  # Any: each value has just been parsed to its field's type
        for name, given in texts.items():
            key = BROKER_KEYS.get(name)
            if key is not None:
                value = key.parse(given)
                if name not in KEPT_KEYS:
                    values[key.attribute] = value
            elif is_protective(name):
                refuse_protection(name, given)
            else:
                raise unknown_key(name, BROKER_KEYS, "broker")
        values.setdefault("log_dirs", values.get("log_dir", ""))
        if values.get("broker_id", -1) >= 0:
            values.setdefault("node_id", values["broker_id"])
        config = cls(**values, set_keys=dict(texts))
        if "," in config.log_dirs:
            raise InvalidConfig(f"log.dirs={config.log_dirs}: expected one directory, which holds everything")
        if config.group_min_session_timeout_ms > config.group_max_session_timeout_ms:
            raise InvalidConfig(
                f"group.min.session.timeout.ms={config.group_min_session_timeout_ms}: expected at most "
                f"group.max.session.timeout.ms, which is {config.group_max_session_timeout_ms}"
            )
        if not config.group_consumer_assignors:
            raise InvalidConfig("group.consumer.assignors=: expected at least one of uniform, range")
        if config.group_consumer_heartbeat_interval_ms >= config.group_consumer_session_timeout_ms:
            raise InvalidConfig(
                f"group.consumer.heartbeat.interval.ms={config.group_consumer_heartbeat_interval_ms}: expected less "
                f"than group.consumer.session.timeout.ms, which is {config.group_consumer_session_timeout_ms}"
            )
        return config

    def value(self, name: str) -> Value:
        """The value in force of the key *name*. Raises InvalidConfig for an unknown one."""
        key = BROKER_KEYS.get(name)
        if key is None:
            raise unknown_key(name, BROKER_KEYS, "broker")
        if name not in KEPT_KEYS:
            return value_of(self, key)
        return key.parse(self.set_keys[name]) if name in self.set_keys else key.default

    def describe(self, names: Iterable[str] | None = None) -> list[ConfigEntry]:
        """A row for each key of *names* that exists and is not internal, or for all of them."""
        keys = BROKER_KEYS.values() if names is None else [BROKER_KEYS[name] for name in names if name in BROKER_KEYS]
        return [self._entry(key) for key in keys if not key.internal]

    def synonyms_of(self, names: Iterable[str]) -> tuple[ConfigSynonym, ...]:
        """What the broker keys *names* have to say, first those that were set, then those that have a default."""
        keys = [BROKER_KEYS[name] for name in names]
        told = [
            ConfigSynonym(key.name, key.text(self.value(key.name)), ConfigSource.STATIC_BROKER_CONFIG)
            for key in keys
            if key.name in self.set_keys
        ]
        defaults = [
            ConfigSynonym(key.name, key.text(key.default), ConfigSource.DEFAULT_CONFIG)
            for key in keys
            if key.default is not None
        ]
        return (*told, *defaults)

    def _entry(self, key: ConfigKey) -> ConfigEntry:
        synonyms = self.synonyms_of(_FALLBACKS.get(key.name, (key.name,)))
        return ConfigEntry(
            name=key.name,
            value=key.text(self.value(key.name)),
            source=ConfigSource.STATIC_BROKER_CONFIG if key.name in self.set_keys else ConfigSource.DEFAULT_CONFIG,
            read_only=True,
            type=key.type,
            documentation=key.documentation,
            synonyms=synonyms,
        )


BROKER_KEYS: dict[str, ConfigKey] = {**keys_of(BrokerConfig), **KEPT_KEYS}

_RETENTION = ("log.retention.ms", "log.retention.minutes", "log.retention.hours")
_FALLBACKS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_RETENTION, _RETENTION),
    **dict.fromkeys(("log.roll.ms", "log.roll.hours"), ("log.roll.ms", "log.roll.hours")),
    **dict.fromkeys(("log.roll.jitter.ms", "log.roll.jitter.hours"), ("log.roll.jitter.ms", "log.roll.jitter.hours")),
    "log.dirs": ("log.dirs", "log.dir"),
    "log.flush.interval.ms": ("log.flush.interval.ms", "log.flush.scheduler.interval.ms"),
}


def value_of(config: object, key: ConfigKey) -> Value:
    """The typed value that *config* has for *key*."""
    value: Value = getattr(config, key.attribute)
    return value
