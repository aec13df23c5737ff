"""Broker keys: groups of both protocols, and what they commit."""

from dataclasses import dataclass

from broker.config.keys import ConfigType, integer, text, words

_LONG = ConfigType.LONG
_MEBI = 1024 * 1024


@dataclass(frozen=True, kw_only=True, eq=False, repr=False, init=False)
class GroupKeys:
    """Limits and times of groups, and of the offsets that they commit."""

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
