"""The topic keys: all that Kafka 4.3 has, and one of ours (`flush.before.ack`)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.config.broker import BrokerConfig, value_of
from broker.config.keys import (
    LONG_MAX,
    ConfigEntry,
    ConfigKey,
    ConfigSource,
    ConfigSynonym,
    ConfigType,
    Synonym,
    Value,
    boolean,
    decimal,
    integer,
    keys_of,
    optional_integer,
    text,
    unknown_key,
    words,
)

_LONG = ConfigType.LONG
_MEBI = 1024 * 1024
_HOUR_MS = 60 * 60 * 1000
_DAY_MS = 24 * _HOUR_MS
_WEEK_MS = 7 * _DAY_MS


def _broker(*names: str) -> tuple[Synonym, ...]:
    factors = {"hours": _HOUR_MS, "minutes": 60_000}
    return tuple(Synonym(name, factors.get(name.rpartition(".")[2], 1)) for name in names)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class TopicConfig:
    """
    Every topic key with its value in force; the name of an attribute is the key with '_' for '.'.

    `overrides` holds the texts that were set on the topic itself, as they have to be stored.
    """

    cleanup_policy: tuple[str, ...] = words(
        "cleanup.policy",
        ("delete",),
        one_of=("compact", "delete"),
        synonyms=_broker("log.cleanup.policy"),
        documentation="delete: segments go by age and size. compact: every record needs a key, and the newest of each "
        "key stays; nothing goes by age or size. Both: both.",
    )
    compression_type: str = text(
        "compression.type",
        "producer",
        one_of=("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
        synonyms=_broker("compression.type"),
        acts=False,
        documentation="Batches are kept as their producer compressed them, whatever is set here.",
    )
    compression_gzip_level: int = integer(
        "compression.gzip.level",
        -1,
        at_least=1,
        at_most=9,
        also=-1,
        synonyms=_broker("compression.gzip.level"),
        acts=False,
        documentation="See compression.type.",
    )
    compression_lz4_level: int = integer(
        "compression.lz4.level",
        9,
        at_least=1,
        at_most=17,
        synonyms=_broker("compression.lz4.level"),
        acts=False,
        documentation="See compression.type.",
    )
    compression_zstd_level: int = integer(
        "compression.zstd.level",
        3,
        at_least=-131_072,
        at_most=22,
        synonyms=_broker("compression.zstd.level"),
        acts=False,
        documentation="See compression.type.",
    )
    delete_retention_ms: int = integer(
        "delete.retention.ms",
        _DAY_MS,
        kind=_LONG,
        at_least=0,
        synonyms=_broker("log.cleaner.delete.retention.ms"),
        documentation="How long compaction keeps a tombstone, or the marker of a transaction without records, after "
        "it has met it for the first time.",
    )
    file_delete_delay_ms: int = integer(
        "file.delete.delay.ms",
        60_000,
        kind=_LONG,
        at_least=0,
        synonyms=_broker("log.segment.delete.delay.ms"),
        acts=False,
        documentation="A deleted segment is renamed and removed at once; whoever is reading it reads to the end.",
    )
    flush_before_ack: bool = boolean(
        "flush.before.ack",
        False,
        ours=True,
        synonyms=_broker("log.flush.before.ack"),
        documentation="Whether an acknowledged batch has been fsynced: all that wait share one fsync.",
    )
    flush_messages: int = integer(
        "flush.messages",
        LONG_MAX,
        kind=_LONG,
        at_least=1,
        synonyms=_broker("log.flush.interval.messages"),
        documentation="An fsync after so many records; by default the operating system decides.",
    )
    flush_ms: int = integer(
        "flush.ms",
        LONG_MAX,
        kind=_LONG,
        at_least=0,
        synonyms=_broker("log.flush.interval.ms", "log.flush.scheduler.interval.ms"),
        documentation="An fsync at the latest so long after a record; by default the operating system decides.",
    )
    follower_replication_throttled_replicas: tuple[str, ...] = words(
        "follower.replication.throttled.replicas", (), acts=False, documentation="One broker has no followers."
    )
    index_interval_bytes: int = integer(
        "index.interval.bytes",
        4096,
        at_least=0,
        synonyms=_broker("log.index.interval.bytes"),
        documentation="Bytes of batches between two entries of the offset index.",
    )
    internal_segment_bytes: int | None = optional_integer(
        "internal.segment.bytes",
        at_least=1,
        internal=True,
        documentation="Segments smaller than segment.bytes allows, for tests.",
    )
    leader_replication_throttled_replicas: tuple[str, ...] = words(
        "leader.replication.throttled.replicas", (), acts=False, documentation="One broker has no followers."
    )
    local_retention_bytes: int = integer(
        "local.retention.bytes",
        -2,
        kind=_LONG,
        at_least=-2,
        synonyms=_broker("log.local.retention.bytes"),
        acts=False,
        documentation="There is no remote storage.",
    )
    local_retention_ms: int = integer(
        "local.retention.ms",
        -2,
        kind=_LONG,
        at_least=-2,
        synonyms=_broker("log.local.retention.ms"),
        acts=False,
        documentation="There is no remote storage.",
    )
    max_compaction_lag_ms: int = integer(
        "max.compaction.lag.ms",
        LONG_MAX,
        kind=_LONG,
        at_least=1,
        synonyms=_broker("log.cleaner.max.compaction.lag.ms"),
        documentation="A record older than this is compacted, however clean the log is; the active segment ends "
        "for it.",
    )
    max_message_bytes: int = integer(
        "max.message.bytes",
        1_048_588,
        at_least=0,
        synonyms=_broker("message.max.bytes"),
        documentation="The largest record batch, as it is compressed; a larger one is MESSAGE_TOO_LARGE.",
    )
    message_timestamp_after_max_ms: int = integer(
        "message.timestamp.after.max.ms",
        _HOUR_MS,
        kind=_LONG,
        at_least=0,
        synonyms=_broker("log.message.timestamp.after.max.ms"),
        documentation="How far a record's time may lie ahead of the broker's clock.",
    )
    message_timestamp_before_max_ms: int = integer(
        "message.timestamp.before.max.ms",
        LONG_MAX,
        kind=_LONG,
        at_least=0,
        synonyms=_broker("log.message.timestamp.before.max.ms"),
        documentation="How far a record's time may lie behind the broker's clock.",
    )
    message_timestamp_type: str = text(
        "message.timestamp.type",
        "CreateTime",
        one_of=("CreateTime", "LogAppendTime"),
        synonyms=_broker("log.message.timestamp.type"),
        documentation="Whose clock a record's time is read from: the producer's or the broker's.",
    )
    min_cleanable_dirty_ratio: float = decimal(
        "min.cleanable.dirty.ratio",
        0.5,
        at_least=0,
        at_most=1,
        synonyms=_broker("log.cleaner.min.cleanable.ratio"),
        documentation="The share of a log that must be new since its last compaction before there is another.",
    )
    min_compaction_lag_ms: int = integer(
        "min.compaction.lag.ms",
        0,
        kind=_LONG,
        at_least=0,
        synonyms=_broker("log.cleaner.min.compaction.lag.ms"),
        documentation="A record younger than this is not compacted away.",
    )
    min_insync_replicas: int = integer(
        "min.insync.replicas",
        1,
        at_least=1,
        synonyms=_broker("min.insync.replicas"),
        acts=False,
        documentation="One broker has one replica.",
    )
    preallocate: bool = boolean(
        "preallocate",
        False,
        synonyms=_broker("log.preallocate"),
        acts=False,
        documentation="Segments grow as they are written, whatever is set here.",
    )
    remote_log_copy_disable: bool = boolean(
        "remote.log.copy.disable", False, acts=False, documentation="There is no remote storage."
    )
    remote_log_delete_on_disable: bool = boolean(
        "remote.log.delete.on.disable", False, acts=False, documentation="There is no remote storage."
    )
    remote_storage_enable: bool = boolean(
        "remote.storage.enable", False, acts=False, documentation="There is no remote storage."
    )
    retention_bytes: int = integer(
        "retention.bytes",
        -1,
        kind=_LONG,
        synonyms=_broker("log.retention.bytes"),
        documentation="Bytes of a partition beyond which whole segments go; -1 keeps all.",
    )
    retention_ms: int = integer(
        "retention.ms",
        _WEEK_MS,
        kind=_LONG,
        at_least=-1,
        synonyms=_broker("log.retention.ms", "log.retention.minutes", "log.retention.hours"),
        documentation="A segment whose newest record is older than this goes; -1 keeps all.",
    )
    segment_bytes: int = integer(
        "segment.bytes",
        1024 * _MEBI,
        at_least=_MEBI,
        synonyms=_broker("log.segment.bytes"),
        documentation="The size at which a new segment is begun.",
    )
    segment_index_bytes: int = integer(
        "segment.index.bytes",
        10 * _MEBI,
        at_least=4,
        synonyms=_broker("log.index.size.max.bytes"),
        documentation="The size of an index at which a new segment is begun.",
    )
    segment_jitter_ms: int = integer(
        "segment.jitter.ms",
        0,
        kind=_LONG,
        at_least=0,
        synonyms=_broker("log.roll.jitter.ms", "log.roll.jitter.hours"),
        documentation="A random time taken off segment.ms, so that not all logs begin a segment at once.",
    )
    segment_ms: int = integer(
        "segment.ms",
        _WEEK_MS,
        kind=_LONG,
        at_least=1,
        synonyms=_broker("log.roll.ms", "log.roll.hours"),
        documentation="The age of a segment's first record at which a new segment is begun.",
    )
    unclean_leader_election_enable: bool = boolean(
        "unclean.leader.election.enable",
        False,
        synonyms=_broker("unclean.leader.election.enable"),
        acts=False,
        documentation="One broker has nobody else to elect.",
    )

    overrides: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def parse(cls, overrides: Mapping[str, str], defaults: BrokerConfig) -> "TopicConfig":
        """What a topic with *overrides* (key → value) has on a broker with *defaults*. Raises InvalidConfig."""
        values: dict[str, Any] = {}  # Any: each value has its field's type, by its key
        for key in TOPIC_KEYS.values():
            values[key.attribute] = _default(key, defaults)
        for name, given in overrides.items():
            if name not in TOPIC_KEYS:
                raise unknown_key(name, TOPIC_KEYS, "topic")
            key = TOPIC_KEYS[name]
            values[key.attribute] = key.parse(given)
        return cls(**values, overrides=dict(overrides))

    def describe(self, defaults: BrokerConfig, names: Iterable[str] | None = None) -> list[ConfigEntry]:
        """A row for each key of *names* that exists, or for all of them but the internal ones."""
        if names is None:
            return [self._entry(key, defaults) for key in TOPIC_KEYS.values() if not key.internal]
        return [self._entry(TOPIC_KEYS[name], defaults) for name in names if name in TOPIC_KEYS]

    def _entry(self, key: ConfigKey, defaults: BrokerConfig) -> ConfigEntry:
        value = key.text(value_of(self, key))
        synonyms = defaults.synonyms_of(synonym.name for synonym in key.synonyms)
        if key.name in self.overrides:
            synonyms = (ConfigSynonym(key.name, value, ConfigSource.DYNAMIC_TOPIC_CONFIG), *synonyms)
        return ConfigEntry(
            name=key.name,
            value=value,
            source=synonyms[0].source if synonyms else ConfigSource.DEFAULT_CONFIG,
            read_only=False,
            type=key.type,
            documentation=key.documentation,
            synonyms=synonyms,
        )


TOPIC_KEYS: dict[str, ConfigKey] = keys_of(TopicConfig)


def _default(key: ConfigKey, defaults: BrokerConfig) -> Value:
    """What the broker's keys give: the first one that was set, else the first one that has a default at all."""
    for synonym in key.synonyms:
        value = defaults.value(synonym.name)
        if value is not None:
            # -1 hours is "for ever", as -1 ms is: no multiple of it.
            return value * synonym.factor if isinstance(value, int) and synonym.factor != 1 and value >= 0 else value
    return key.default
