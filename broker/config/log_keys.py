"""Broker keys: topics, and what a topic's log gets when the topic sets nothing itself."""

from dataclasses import dataclass

from broker.config.keys import LONG_MAX, ConfigType, boolean, decimal, integer, optional_integer, text, words

_LONG = ConfigType.LONG
_KIBI = 1024
_MEBI = 1024 * 1024
_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, kw_only=True, eq=False, repr=False, init=False)
class LogKeys:
    """How many topics there may be, and the defaults of their settings."""

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
