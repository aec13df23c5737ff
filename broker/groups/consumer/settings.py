"""The configuration of consumer groups, and which groups may change their protocol."""

from dataclasses import dataclass

from broker.config import BrokerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerGroupSettings:
    """All times in milliseconds. The first of `assignors` is for groups whose members ask for none."""

    session_timeout_ms: int
    heartbeat_interval_ms: int
    size_max: int
    assignors: tuple[str, ...]
    assignment_interval_ms: int
    upgrades: bool
    downgrades: bool
    classic_size_max: int

    @classmethod
    def of(cls, config: BrokerConfig) -> "ConsumerGroupSettings":
        return cls(
            session_timeout_ms=config.group_consumer_session_timeout_ms,
            heartbeat_interval_ms=config.group_consumer_heartbeat_interval_ms,
            size_max=config.group_consumer_max_size,
            assignors=config.group_consumer_assignors,
            assignment_interval_ms=config.group_consumer_assignment_interval_ms,
            upgrades=config.group_consumer_migration_policy in ("upgrade", "bidirectional"),
            downgrades=config.group_consumer_migration_policy in ("downgrade", "bidirectional"),
            classic_size_max=config.group_max_size,
        )
