"""From a topic's settings to what its logs act on."""

from broker.config import BrokerConfig, TopicConfig
from broker.records import TimestampType
from broker.storage import LogConfig

_TIMESTAMP_TYPES = {"CreateTime": TimestampType.CREATE_TIME, "LogAppendTime": TimestampType.LOG_APPEND_TIME}


def log_config(topic: TopicConfig, broker: BrokerConfig) -> LogConfig:
    """The settings that a partition log of a topic acts on."""
    compacts = "compact" in topic.cleanup_policy
    return LogConfig(
        segment_bytes=topic.segment_bytes if topic.internal_segment_bytes is None else topic.internal_segment_bytes,
        # The active segment is not compacted: it has to end before its first record has waited too long.
        segment_ms=min(topic.segment_ms, topic.max_compaction_lag_ms) if compacts else topic.segment_ms,
        segment_jitter_ms=topic.segment_jitter_ms,
        segment_index_bytes=topic.segment_index_bytes,
        index_interval_bytes=topic.index_interval_bytes,
        max_message_bytes=topic.max_message_bytes,
        message_timestamp_type=_TIMESTAMP_TYPES[topic.message_timestamp_type],
        message_timestamp_before_max_ms=topic.message_timestamp_before_max_ms,
        message_timestamp_after_max_ms=topic.message_timestamp_after_max_ms,
        retention_ms=topic.retention_ms,
        retention_bytes=topic.retention_bytes,
        deletes="delete" in topic.cleanup_policy,
        compacts=compacts,
        min_cleanable_dirty_ratio=topic.min_cleanable_dirty_ratio,
        min_compaction_lag_ms=topic.min_compaction_lag_ms,
        max_compaction_lag_ms=topic.max_compaction_lag_ms,
        delete_retention_ms=topic.delete_retention_ms,
        flush_messages=topic.flush_messages,
        flush_ms=topic.flush_ms,
        flush_before_ack=topic.flush_before_ack,
        producer_id_expiration_ms=broker.producer_id_expiration_ms,
    )
