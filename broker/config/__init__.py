"""
Configuration: Kafka's keys and defaults for the broker and for topics, typed, with words for what is refused.

`BrokerConfig.parse({"num.partitions": "12"})`, `TopicConfig.parse({"retention.ms": "-1"}, broker_config)`; both
`describe()`.
"""

from broker.config.broker import BROKER_KEYS, BrokerConfig
from broker.config.kept import KEPT_KEYS
from broker.config.keys import (
    ConfigEntry,
    ConfigKey,
    ConfigSource,
    ConfigSynonym,
    ConfigType,
    InvalidConfig,
)
from broker.config.properties import parse_assignment, read_properties
from broker.config.topic import TOPIC_KEYS, TopicConfig

__all__ = [
    "BROKER_KEYS",
    "KEPT_KEYS",
    "TOPIC_KEYS",
    "BrokerConfig",
    "ConfigEntry",
    "ConfigKey",
    "ConfigSource",
    "ConfigSynonym",
    "ConfigType",
    "InvalidConfig",
    "TopicConfig",
    "parse_assignment",
    "read_properties",
]
