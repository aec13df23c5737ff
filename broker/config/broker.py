"""The broker's own keys. Most topic keys have a broker key that gives their default; those are here as well."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.config.kept import KEPT_KEYS
from broker.config.keys import (
    LONG_MAX,
    ConfigEntry,
    ConfigKey,
    ConfigSource,
    ConfigSynonym,
    ConfigType,
    InvalidConfig,
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
from broker.config.refused import is_protective, refuse_protection

_LONG = ConfigType.LONG
_KIBI = 1024
_MEBI = 1024 * 1024
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class BrokerConfig:
    """
    Every broker key with its value; the name of an attribute is the key with '_' for '.'.

    Keys and defaults are Kafka's unless the key says otherwise. `set_keys` holds the texts of what was set.
    """

    # where it is
    listeners: str = text(
        "listeners",
        "PLAINTEXT://127.0.0.1:9092",
        kafka_default="PLAINTEXT://:9092",
        documentation="Where the broker listens, as PLAINTEXT://HOST:PORT; --listen sets it. Port 0 takes a free one. "
        "Loopback unless told otherwise: nothing here asks a client who it is.",
    )
    advertised_listeners: str = text(
        "advertised.listeners",
        "",
        documentation="The address that clients are told, as PLAINTEXT://HOST:PORT; --advertise sets it. "
        "Empty: the address listened on.",
    )
    log_dirs: str = text(
        "log.dirs",
        "",
        documentation="The one directory that holds everything; --data-dir sets it. Unset: log.dir.",
    )
    log_dir: str = text(
        "log.dir",
        "",
        kafka_default="/tmp/kafka-logs",  # noqa: S108 (told, not used)
        documentation="Stands in for log.dirs when that is not set.",
    )
    node_id: int = integer(
        "node.id", 1, at_least=0, documentation="The id by which clients know this broker. Unset: broker.id."
    )
    broker_id: int = integer(
        "broker.id", -1, at_least=-1, documentation="Stands in for node.id when that is not set, unless it is -1."
    )

    # connections
    socket_request_max_bytes: int = integer(
        "socket.request.max.bytes",
        100 * _MEBI,
        at_least=1,
        documentation="The largest frame; a larger one closes its connection.",
    )
    queued_max_request_bytes: int = integer(
        "queued.max.request.bytes",
        512 * _MEBI,
        kind=_LONG,
        at_least=1,
        kafka_default=-1,
        documentation="Memory for requests that are being received, over all connections, and as much for answers that "
        "are not sent yet: above it a frame of more than 64 KiB waits for room, and a connection with unsent answers "
        "reads no more.",
    )
    connections_max_idle_ms: int = integer(
        "connections.max.idle.ms",
        600_000,
        kind=_LONG,
        documentation="A connection on which nothing happened for so long is closed; -1 keeps it.",
    )
    max_connections: int = integer(
        "max.connections", 10_000, at_least=0, kafka_default=2**31 - 1, documentation="Connections at the same time."
    )
    max_connections_per_ip: int = integer(
        "max.connections.per.ip",
        2**31 - 1,
        at_least=0,
        documentation="Connections at the same time from one address.",
    )
    socket_listen_backlog_size: int = integer(
        "socket.listen.backlog.size",
        50,
        at_least=1,
        documentation="Connections that wait to be accepted.",
    )
    max_in_flight_requests_per_connection: int = integer(
        "max.in.flight.requests.per.connection",
        1_000,
        at_least=1,
        ours=True,
        documentation="Requests of one connection that wait for their answers; at so many it is not read until half of "
        "them are answered.",
    )
    connection_unsent_max_bytes: int = integer(
        "connection.unsent.max.bytes",
        64 * _MEBI,
        kind=_LONG,
        at_least=1,
        ours=True,
        documentation="Answers that one connection does not take; at so many bytes it is not read until half of them "
        "are sent.",
    )
    max_parked_fetches: int = integer(
        "max.parked.fetches",
        20_000,
        at_least=0,
        ours=True,
        documentation="Fetches that wait for data at the same time; a further one is answered at once with what there "
        "is, and its client told to wait a second (throttle_time_ms).",
    )
    fetch_max_bytes: int = integer(
        "fetch.max.bytes",
        55 * _MEBI,
        at_least=1024,
        documentation="The most bytes in one answer to a fetch; one batch may exceed it (KIP-74).",
    )
    max_incremental_fetch_session_cache_slots: int = integer(
        "max.incremental.fetch.session.cache.slots",
        1000,
        at_least=0,
        documentation="Fetch sessions at the same time (KIP-227).",
    )

    # topics
    num_partitions: int = integer(
        "num.partitions", 1, at_least=1, documentation="Partitions of a topic whose creator names no number."
    )
    auto_create_topics_enable: bool = boolean(
        "auto.create.topics.enable",
        True,
        documentation="Whether asking for the metadata of a topic that does not exist creates it.",
    )
    delete_topic_enable: bool = boolean("delete.topic.enable", True, documentation="Whether topics can be deleted.")
    default_replication_factor: int = integer(
        "default.replication.factor", 1, at_least=1, at_most=1, acts=False, documentation="One broker, one copy."
    )
    max_topics: int = integer(
        "max.topics",
        10_000,
        at_least=1,
        ours=True,
        documentation="Topics at the same time; creating a further one is POLICY_VIOLATION.",
    )
    topic_config_max_bytes: int = integer(
        "topic.config.max.bytes",
        65_536,
        at_least=0,
        ours=True,
        documentation="All settings of one topic together: names and texts; more is INVALID_CONFIG.",
    )
    max_partitions: int = integer(
        "max.partitions",
        10_000,
        at_least=1,
        ours=True,
        documentation="Partitions of all topics together; creating more is POLICY_VIOLATION.",
    )

    # logs: what a topic gets when it sets nothing itself
    log_segment_bytes: int = integer(
        "log.segment.bytes", 1024 * _MEBI, at_least=_MEBI, documentation="Default of segment.bytes."
    )
    log_roll_ms: int | None = optional_integer(
        "log.roll.ms", kind=_LONG, at_least=1, documentation="Default of segment.ms; unset: log.roll.hours."
    )
    log_roll_hours: int = integer("log.roll.hours", 168, at_least=1, documentation="Default of segment.ms, in hours.")
    log_roll_jitter_ms: int | None = optional_integer(
        "log.roll.jitter.ms",
        kind=_LONG,
        at_least=0,
        documentation="Default of segment.jitter.ms; unset: log.roll.jitter.hours.",
    )
    log_roll_jitter_hours: int = integer(
        "log.roll.jitter.hours", 0, at_least=0, documentation="Default of segment.jitter.ms, in hours."
    )
    log_retention_ms: int | None = optional_integer(
        "log.retention.ms",
        kind=_LONG,
        at_least=-1,
        documentation="Default of retention.ms; unset: log.retention.minutes.",
    )
    log_retention_minutes: int | None = optional_integer(
        "log.retention.minutes",
        at_least=-1,
        documentation="Default of retention.ms, in minutes; unset: log.retention.hours.",
    )
    log_retention_hours: int = integer(
        "log.retention.hours", 168, at_least=-1, documentation="Default of retention.ms, in hours."
    )
    log_retention_bytes: int = integer(
        "log.retention.bytes", -1, kind=_LONG, documentation="Default of retention.bytes."
    )
    log_retention_check_interval_ms: int = integer(
        "log.retention.check.interval.ms",
        300_000,
        kind=_LONG,
        at_least=1,
        documentation="How often logs are searched for segments that have to go.",
    )
    log_cleanup_policy: tuple[str, ...] = words(
        "log.cleanup.policy", ("delete",), one_of=("compact", "delete"), documentation="Default of cleanup.policy."
    )
    log_index_size_max_bytes: int = integer(
        "log.index.size.max.bytes", 10 * _MEBI, at_least=4, documentation="Default of segment.index.bytes."
    )
    log_index_interval_bytes: int = integer(
        "log.index.interval.bytes", 4 * _KIBI, at_least=0, documentation="Default of index.interval.bytes."
    )
    log_flush_interval_messages: int = integer(
        "log.flush.interval.messages", LONG_MAX, kind=_LONG, at_least=1, documentation="Default of flush.messages."
    )
    log_flush_interval_ms: int | None = optional_integer(
        "log.flush.interval.ms",
        kind=_LONG,
        at_least=0,
        documentation="Default of flush.ms; unset: log.flush.scheduler.interval.ms.",
    )
    log_flush_scheduler_interval_ms: int = integer(
        "log.flush.scheduler.interval.ms",
        LONG_MAX,
        kind=_LONG,
        documentation="Default of flush.ms when log.flush.interval.ms is unset. Nothing is scheduled by it: "
        "a flush happens when it is due.",
    )
    log_flush_before_ack: bool = boolean(
        "log.flush.before.ack", False, ours=True, documentation="Default of flush.before.ack."
    )
    log_flush_offset_checkpoint_interval_ms: int = integer(
        "log.flush.offset.checkpoint.interval.ms",
        60_000,
        at_least=0,
        documentation="How often recovery points and log start offsets are written down.",
    )
    log_segment_delete_delay_ms: int = integer(
        "log.segment.delete.delay.ms",
        60_000,
        kind=_LONG,
        at_least=0,
        acts=False,
        documentation="Default of file.delete.delay.ms.",
    )
    log_preallocate: bool = boolean("log.preallocate", False, acts=False, documentation="Default of preallocate.")
    log_message_timestamp_type: str = text(
        "log.message.timestamp.type",
        "CreateTime",
        one_of=("CreateTime", "LogAppendTime"),
        documentation="Default of message.timestamp.type.",
    )
    log_message_timestamp_before_max_ms: int = integer(
        "log.message.timestamp.before.max.ms",
        LONG_MAX,
        kind=_LONG,
        at_least=0,
        documentation="Default of message.timestamp.before.max.ms.",
    )
    log_message_timestamp_after_max_ms: int = integer(
        "log.message.timestamp.after.max.ms",
        3_600_000,
        kind=_LONG,
        at_least=0,
        documentation="Default of message.timestamp.after.max.ms.",
    )
    log_cleaner_enable: bool = boolean(
        "log.cleaner.enable", True, documentation="Whether topics with cleanup.policy=compact are compacted."
    )
    log_cleaner_backoff_ms: int = integer(
        "log.cleaner.backoff.ms",
        15_000,
        kind=_LONG,
        at_least=1,
        documentation="How long compaction sleeps when no log is due.",
    )
    log_cleaner_dedupe_buffer_size: int = integer(
        "log.cleaner.dedupe.buffer.size",
        128 * _MEBI,
        kind=_LONG,
        at_least=_MEBI,
        documentation="Memory for the newest offset of each key of a pass, 200 bytes a key; a log with more keys takes "
        "several passes.",
    )
    log_cleaner_delete_retention_ms: int = integer(
        "log.cleaner.delete.retention.ms",
        _DAY_MS,
        kind=_LONG,
        at_least=0,
        documentation="Default of delete.retention.ms.",
    )
    log_cleaner_min_compaction_lag_ms: int = integer(
        "log.cleaner.min.compaction.lag.ms",
        0,
        kind=_LONG,
        at_least=0,
        documentation="Default of min.compaction.lag.ms.",
    )
    log_cleaner_max_compaction_lag_ms: int = integer(
        "log.cleaner.max.compaction.lag.ms",
        LONG_MAX,
        kind=_LONG,
        at_least=1,
        documentation="Default of max.compaction.lag.ms.",
    )
    log_cleaner_min_cleanable_ratio: float = decimal(
        "log.cleaner.min.cleanable.ratio",
        0.5,
        at_least=0,
        at_most=1,
        documentation="Default of min.cleanable.dirty.ratio.",
    )
    log_local_retention_ms: int = integer(
        "log.local.retention.ms",
        -2,
        kind=_LONG,
        at_least=-2,
        acts=False,
        documentation="Default of local.retention.ms.",
    )
    log_local_retention_bytes: int = integer(
        "log.local.retention.bytes",
        -2,
        kind=_LONG,
        at_least=-2,
        acts=False,
        documentation="Default of local.retention.bytes.",
    )
    message_max_bytes: int = integer(
        "message.max.bytes", 1_048_588, at_least=0, documentation="Default of max.message.bytes."
    )
    compression_type: str = text(
        "compression.type",
        "producer",
        one_of=("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
        acts=False,
        documentation="Default of the topic key of the same name.",
    )
    compression_gzip_level: int = integer(
        "compression.gzip.level",
        -1,
        at_least=1,
        at_most=9,
        also=-1,
        acts=False,
        documentation="Default of the topic key of the same name.",
    )
    compression_lz4_level: int = integer(
        "compression.lz4.level",
        9,
        at_least=1,
        at_most=17,
        acts=False,
        documentation="Default of the topic key of the same name.",
    )
    compression_zstd_level: int = integer(
        "compression.zstd.level",
        3,
        at_least=-131_072,
        at_most=22,
        acts=False,
        documentation="Default of the topic key of the same name.",
    )
    min_insync_replicas: int = integer(
        "min.insync.replicas",
        1,
        at_least=1,
        acts=False,
        documentation="Default of the topic key of the same name.",
    )
    unclean_leader_election_enable: bool = boolean(
        "unclean.leader.election.enable",
        False,
        acts=False,
        documentation="Default of the topic key of the same name.",
    )

    # groups
    group_min_session_timeout_ms: int = integer(
        "group.min.session.timeout.ms",
        6_000,
        at_least=1,
        documentation="The shortest session a member may ask for; a shorter one is INVALID_SESSION_TIMEOUT.",
    )
    group_max_session_timeout_ms: int = integer(
        "group.max.session.timeout.ms",
        1_800_000,
        at_least=1,
        documentation="The longest session a member may ask for.",
    )
    group_initial_rebalance_delay_ms: int = integer(
        "group.initial.rebalance.delay.ms",
        0,
        at_least=0,
        kafka_default=3_000,
        documentation="How long the first rebalance of an empty group waits for more members.",
    )
    group_max_size: int = integer(
        "group.max.size",
        10_000,
        at_least=1,
        kafka_default=2**31 - 1,
        documentation="Members of one group; a further one gets GROUP_MAX_SIZE_REACHED.",
    )
    group_max_count: int = integer(
        "group.max.count",
        100_000,
        at_least=1,
        ours=True,
        documentation="Groups at the same time; the first join or commit of a further one gets POLICY_VIOLATION.",
    )
    group_member_metadata_max_bytes: int = integer(
        "group.member.metadata.max.bytes",
        _MEBI,
        at_least=1,
        ours=True,
        documentation="All protocols of one member together, names and metadata, or the topics and the expression that "
        "a member of the consumer protocol subscribes to; more is INVALID_REQUEST.",
    )
    group_assignment_max_bytes: int = integer(
        "group.assignment.max.bytes",
        16 * _MEBI,
        at_least=1,
        ours=True,
        documentation="All assignments that a leader sends for one generation; more is INVALID_REQUEST.",
    )
    group_name_max_bytes: int = integer(
        "group.name.max.bytes",
        1024,
        at_least=1,
        at_most=32_767,
        ours=True,
        documentation="The UTF-8 of a group, member, instance or client id; more is INVALID_REQUEST (a group id: "
        "INVALID_GROUP_ID).",
    )

    # groups of the consumer protocol (KIP-848)
    group_consumer_session_timeout_ms: int = integer(
        "group.consumer.session.timeout.ms",
        45_000,
        at_least=1,
        documentation="How long a member of the consumer protocol may be silent before it is out.",
    )
    group_consumer_heartbeat_interval_ms: int = integer(
        "group.consumer.heartbeat.interval.ms",
        5_000,
        at_least=1,
        documentation="How often members of the consumer protocol are told to report.",
    )
    group_consumer_max_size: int = integer(
        "group.consumer.max.size",
        10_000,
        at_least=1,
        kafka_default=2**31 - 1,
        documentation="Members of one consumer group; a further one gets GROUP_MAX_SIZE_REACHED.",
    )
    group_consumer_assignors: tuple[str, ...] = words(
        "group.consumer.assignors",
        ("uniform", "range"),
        one_of=("uniform", "range"),
        documentation="The server's assignors that members may ask for; the first is for groups that ask for none.",
    )
    group_consumer_assignment_interval_ms: int = integer(
        "group.consumer.assignment.interval.ms",
        0,
        at_least=0,
        kafka_default=1_000,
        documentation="The shortest time between two target assignments of a group.",
    )
    group_consumer_migration_policy: str = text(
        "group.consumer.migration.policy",
        "bidirectional",
        one_of=("bidirectional", "upgrade", "downgrade", "disabled"),
        documentation="Whether a group with members may change from the classic to the consumer protocol (upgrade), "
        "back (downgrade), both or neither.",
    )

    # committed offsets
    offset_metadata_max_bytes: int = integer(
        "offset.metadata.max.bytes",
        4096,
        at_least=0,
        documentation="The text that a client may keep beside an offset; more is OFFSET_METADATA_TOO_LARGE.",
    )
    offsets_retention_minutes: int = integer(
        "offsets.retention.minutes",
        10_080,
        at_least=1,
        documentation="How long the offsets of a group without members are kept.",
    )
    offsets_retention_check_interval_ms: int = integer(
        "offsets.retention.check.interval.ms",
        600_000,
        kind=_LONG,
        at_least=1,
        documentation="How often offsets are searched for those that have to go.",
    )
    offsets_topic_num_partitions: int = integer(
        "offsets.topic.num.partitions",
        1,
        at_least=1,
        kafka_default=50,
        documentation="Partitions of __consumer_offsets; all groups are kept in the first, others stay empty.",
    )
    offsets_topic_segment_bytes: int = integer(
        "offsets.topic.segment.bytes",
        100 * _MEBI,
        at_least=1,
        documentation="segment.bytes of __consumer_offsets.",
    )

    # producers and transactions
    producer_id_expiration_ms: int = integer(
        "producer.id.expiration.ms",
        _DAY_MS,
        at_least=1,
        documentation="How long a partition remembers the last batches of a producer that is silent.",
    )
    transactional_id_expiration_ms: int = integer(
        "transactional.id.expiration.ms",
        7 * _DAY_MS,
        at_least=1,
        documentation="How long a transactional id without transactions is remembered.",
    )
    transactional_id_max_count: int = integer(
        "transactional.id.max.count",
        100_000,
        at_least=1,
        ours=True,
        documentation="Transactional ids that are remembered; a further one is POLICY_VIOLATION.",
    )
    transactional_id_max_bytes: int = integer(
        "transactional.id.max.bytes",
        1024,
        at_least=1,
        at_most=32_767,
        ours=True,
        documentation="The UTF-8 of a transactional id; more is INVALID_REQUEST.",
    )
    transaction_max_timeout_ms: int = integer(
        "transaction.max.timeout.ms",
        900_000,
        at_least=1,
        documentation="The longest transaction a producer may ask for.",
    )
    transaction_state_log_num_partitions: int = integer(
        "transaction.state.log.num.partitions",
        1,
        at_least=1,
        kafka_default=50,
        documentation="Partitions of __transaction_state; all ids are kept in the first, others stay empty.",
    )
    transaction_state_log_segment_bytes: int = integer(
        "transaction.state.log.segment.bytes",
        100 * _MEBI,
        at_least=1,
        documentation="segment.bytes of __transaction_state.",
    )

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
