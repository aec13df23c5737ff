"""What a topic's configuration says about its logs."""

from dataclasses import dataclass, field

from broker.records import TimestampType

_NEVER = 2**63 - 1
_HOUR_MS = 3_600_000
_DAY_MS = 24 * _HOUR_MS


@dataclass(frozen=True, slots=True)
class LogConfig:
    """
    The values that a partition log acts on, named after the topic's keys, with Kafka's defaults (bytes, milliseconds).

    `flush_before_ack` (topic key flush.before.ack, which Kafka does not have) holds the high watermark back until an
    fsync has covered the batch: what is acknowledged, or read by anybody, survives a loss of power.
    """

    segment_bytes: int = 1024 * 1024 * 1024
    segment_ms: int = 7 * _DAY_MS
    segment_jitter_ms: int = 0
    segment_index_bytes: int = 10 * 1024 * 1024
    index_interval_bytes: int = 4096
    max_message_bytes: int = 1_048_588
    message_timestamp_type: TimestampType = TimestampType.CREATE_TIME
    message_timestamp_before_max_ms: int = _NEVER
    message_timestamp_after_max_ms: int = _HOUR_MS
    retention_ms: int = 7 * _DAY_MS
    """-1: no limit."""
    retention_bytes: int = -1
    """-1: no limit."""
    deletes: bool = True
    """cleanup.policy has delete."""
    compacts: bool = False
    """cleanup.policy has compact."""
    min_cleanable_dirty_ratio: float = 0.5
    min_compaction_lag_ms: int = 0
    max_compaction_lag_ms: int = _NEVER
    delete_retention_ms: int = _DAY_MS
    flush_messages: int = _NEVER
    flush_ms: int = _NEVER
    flush_before_ack: bool = False
    producer_id_expiration_ms: int = _DAY_MS
    flushes: bool = field(init=False, default=False)
    """Whether anything but the operating system asks for an fsync."""

    def __post_init__(self) -> None:
        flushes = self.flush_before_ack or self.flush_ms < _NEVER or self.flush_messages < _NEVER
        object.__setattr__(self, "flushes", flushes)
