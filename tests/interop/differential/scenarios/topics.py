"""Metadata, CreateTopics, DeleteTopics, CreatePartitions, DescribeTopicPartitions."""

from collections.abc import Callable, Sequence
from typing import cast
from uuid import UUID

from broker.wire.declaration import Message
from broker.wire.messages.metadata import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsRequestCursor,
    DescribeTopicPartitionsTopicRequest,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
)
from broker.wire.messages.topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatePartitionsAssignment,
    CreatePartitionsRequest,
    CreatePartitionsTopic,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    DeleteTopicState,
)
from broker.wire.primitives import NO_UUID
from tests.interop.differential.building import new_topic, settled
from tests.interop.differential.scenario import Ask, Build, Known, Scenario, Settle

STRANGER = UUID("11111111-2222-3333-4444-555555555555")


def metadata(*labels: str, create: bool = False, operations: bool = False) -> Build:
    def build(known: Known) -> MetadataRequest:
        return MetadataRequest(
            topics=[MetadataRequestTopic(name=known.name(label)) for label in labels],
            allow_auto_topic_creation=create,
            include_cluster_authorized_operations=operations,
            include_topic_authorized_operations=operations,
        )

    return build


def metadata_named(name: str, *, create: bool) -> Build:
    return lambda known: MetadataRequest(topics=[MetadataRequestTopic(name=name)], allow_auto_topic_creation=create)


def metadata_by_id(*choose: Callable[[Known], MetadataRequestTopic]) -> Build:
    return lambda known: MetadataRequest(topics=[each(known) for each in choose], allow_auto_topic_creation=False)


def create(*topics: Callable[[Known], CreatableTopic], validate_only: bool = False, timeout_ms: int = 10_000) -> Build:
    return lambda known: CreateTopicsRequest(
        topics=[topic(known) for topic in topics], timeout_ms=timeout_ms, validate_only=validate_only
    )


def topic(
    label: str,
    partitions: int = 1,
    replicas: int = 1,
    *,
    assignments: Sequence[tuple[int, Sequence[int]]] = (),
    configs: Sequence[tuple[str, str | None]] = (),
    exact: str | None = None,
) -> Callable[[Known], CreatableTopic]:
    """A topic to create: *label* gets the version behind it, so that each version makes one of its own."""
    return lambda known: CreatableTopic(
        name=f"{known.name(label)}-{known.version}" if exact is None else exact,
        num_partitions=partitions,
        replication_factor=replicas,
        assignments=[CreatableReplicaAssignment(partition_index=i, broker_ids=ids) for i, ids in assignments],
        configs=[CreatableTopicConfig(name=key, value=value) for key, value in configs],
    )


def delete(*labels: str) -> Build:
    def build(known: Known) -> DeleteTopicsRequest:
        names = [f"{known.name(label)}-{known.version}" for label in labels]
        return DeleteTopicsRequest(
            topics=[DeleteTopicState(name=name) for name in names], topic_names=names, timeout_ms=10_000
        )

    return build


def delete_states(*states: Callable[[Known], DeleteTopicState]) -> Build:
    return lambda known: DeleteTopicsRequest(topics=[state(known) for state in states], timeout_ms=10_000)


def partitions(
    label: str, count: int, assignments: Sequence[Sequence[int]] | None = None, *, validate_only: bool = False
) -> Build:
    def build(known: Known) -> CreatePartitionsRequest:
        wanted = None if assignments is None else [CreatePartitionsAssignment(broker_ids=ids) for ids in assignments]
        return CreatePartitionsRequest(
            topics=[CreatePartitionsTopic(name=known.name(label), count=count, assignments=wanted)],
            timeout_ms=10_000,
            validate_only=validate_only,
        )

    return build


def described(*labels: str, limit: int = 2000, cursor: tuple[str, int] | None = None) -> Build:
    return lambda known: DescribeTopicPartitionsRequest(
        topics=[DescribeTopicPartitionsTopicRequest(name=known.name(label)) for label in labels],
        response_partition_limit=limit,
        cursor=None
        if cursor is None
        else DescribeTopicPartitionsRequestCursor(topic_name=known.name(cursor[0]), partition_index=cursor[1]),
    )


def _is_gone(answer: Message) -> bool:
    return all(topic.error_code == 3 for topic in cast("MetadataResponse", answer).topics)


def _has_partitions(count: int) -> Callable[[Message], bool]:
    def done(answer: Message) -> bool:
        topics = cast("MetadataResponse", answer).topics
        return all(
            len(topic.partitions) == count and all(part.error_code == 0 for part in topic.partitions)
            for topic in topics
        )

    return done


METADATA = Scenario(
    "metadata",
    [
        *new_topic("t", 3),
        *new_topic("u"),
        Ask(metadata("t")),
        Ask(metadata("t", "u", "nowhere"), versions=range(4, 14)),
        Ask(metadata("made-by-v0"), versions=[0]),
        Ask(metadata("t", operations=True)),
        Ask(metadata()),
        Ask(lambda known: MetadataRequest(topics=()), versions=range(1, 14)),
        Ask(metadata_named("bad name!", create=False)),
        Ask(metadata_named("bad name!", create=True), versions=[4, 9, 12]),
        Ask(metadata_named("", create=False), versions=[4, 9, 12]),
        Ask(metadata_named(".", create=True), versions=[4, 9, 12]),
        Ask(metadata_named("x" * 250, create=True), versions=[4, 9, 12]),
        Ask(metadata_by_id(lambda known: MetadataRequestTopic(name=None, topic_id=known.id("t"))), versions=[12, 13]),
        Ask(metadata_by_id(lambda known: MetadataRequestTopic(name=None, topic_id=STRANGER)), versions=[12, 13]),
        Ask(metadata_by_id(lambda known: MetadataRequestTopic(name=None, topic_id=NO_UUID)), versions=[12, 13]),
        Ask(
            metadata_by_id(lambda known: MetadataRequestTopic(name=known.name("t"), topic_id=known.id("t"))),
            versions=[12, 13],
        ),
        Ask(metadata("made", create=True), versions=[4]),
        *settled("made"),
        Ask(metadata("made"), versions=[9]),
        Ask(described("t")),
        Ask(described("t", "u", "nowhere")),
        Ask(described("t", "u", limit=2)),
        Ask(described("t", "u", limit=2, cursor=("t", 2))),
        Ask(described("t", limit=0)),
        Ask(described("t", cursor=("t", 9))),
        Ask(described("t", cursor=("t", -1))),
    ],
)

CREATE = Scenario(
    "create-topics",
    [
        Ask(create(topic("plain"))),
        Ask(create(topic("plain"))),
        Ask(create(topic("default", -1, -1)), versions=range(4, 8)),
        Ask(create(topic("default", -1, -1)), versions=[2, 3]),
        Ask(create(topic("none", 0))),
        Ask(create(topic("less", -2)), versions=[2, 5, 7]),
        Ask(create(topic("copies", 1, 2))),
        Ask(create(topic("copies", 1, 0))),
        Ask(create(topic("copies", 1, -2)), versions=[2, 5, 7]),
        Ask(create(topic("valid", 3)), versions=[2, 5, 7]),
        Ask(create(topic("valid-only", 3), validate_only=True)),
        Ask(create(topic("valid-only", 3), validate_only=True), versions=[5]),
        Ask(create(topic("valid-only", 0), validate_only=True), versions=[5, 7]),
        Ask(create(topic("plain"), validate_only=True), versions=[5, 7]),
        Ask(create(topic("assigned", -1, -1, assignments=[(0, [1]), (1, [1])]))),
        Ask(create(topic("assigned-a", 2, 1, assignments=[(0, [1]), (1, [1])])), versions=[5, 7]),
        Ask(create(topic("assigned-b", -1, -1, assignments=[(0, [7])])), versions=[5, 7]),
        Ask(create(topic("assigned-c", -1, -1, assignments=[(1, [1]), (2, [1])])), versions=[5, 7]),
        Ask(create(topic("assigned-d", -1, -1, assignments=[(0, [])])), versions=[5, 7]),
        Ask(create(topic("assigned-e", -1, -1, assignments=[(0, [1, 1])])), versions=[5, 7]),
        Ask(create(topic("assigned-f", -1, -1, assignments=[(0, [1]), (0, [1])])), versions=[5, 7]),
        Ask(create(topic("x", exact="")), versions=[5, 7]),
        Ask(create(topic("x", exact=".")), versions=[5, 7]),
        Ask(create(topic("x", exact="..")), versions=[5, 7]),
        Ask(create(topic("x", exact="bad/name")), versions=[2, 5, 7]),
        Ask(create(topic("x", exact="bad name")), versions=[5, 7]),
        Ask(create(topic("x", exact="x" * 250)), versions=[5, 7]),
        Ask(create(topic("x", exact="x" * 249)), versions=[7]),
        Ask(create(topic("x", exact="collides.with")), versions=[7]),
        Ask(create(topic("x", exact="collides_with")), versions=[5, 7]),
        Ask(create(topic("x", exact="__consumer_offsets")), versions=[5, 7]),
        Ask(create(topic("c", configs=[("retention.ms", "1000"), ("cleanup.policy", "compact")]))),
        Ask(create(topic("c-bad", configs=[("retention.ms", "soon")]))),
        Ask(create(topic("c-range", configs=[("retention.ms", "-2")])), versions=[5, 7]),
        Ask(create(topic("c-key", configs=[("no.such.key", "1")])), versions=[5, 7]),
        Ask(create(topic("c-null", configs=[("retention.ms", None)])), versions=[5, 7]),
        Ask(create(topic("c-list", configs=[("cleanup.policy", "compact,shred")])), versions=[5, 7]),
        Ask(create(topic("c-empty", configs=[("cleanup.policy", "")])), versions=[5, 7]),
        Ask(create(topic("c-twice", configs=[("retention.ms", "1"), ("retention.ms", "2")])), versions=[5, 7]),
        Ask(create(topic("c-codec", configs=[("compression.type", "brotli")])), versions=[5, 7]),
        Ask(create(topic("c-space", configs=[("retention.ms", " 1000 ")])), versions=[5, 7]),
        Ask(create(topic("c-small", configs=[("segment.bytes", "1")])), versions=[5, 7]),
        Ask(create(topic("c-cross", configs=[("retention.ms", "-1"), ("local.retention.ms", "5")])), versions=[5, 7]),
        Ask(create(topic("two"), topic("two"))),
        Ask(create(topic("good"), topic("bad", 0), topic("fine", 2))),
        Ask(create(), versions=[2, 7]),
    ],
)

DELETE = Scenario(
    "delete-topics",
    [
        Ask(create(topic("t"), topic("u")), versions=range(2, 7)),
        Ask(delete("nowhere")),
        Ask(delete("t"), versions=range(2, 6)),
        Ask(delete("t", "u", "nowhere"), versions=range(2, 6)),
        Ask(delete("u", "u"), versions=[6]),
        *new_topic("by-name"),
        *new_topic("by-id"),
        *new_topic("both"),
        Ask(delete_states(lambda known: DeleteTopicState(name=None, topic_id=STRANGER)), versions=[6]),
        Ask(delete_states(lambda known: DeleteTopicState(name=None, topic_id=NO_UUID)), versions=[6]),
        Ask(
            delete_states(lambda known: DeleteTopicState(name=known.name("both"), topic_id=known.id("both"))),
            versions=[6],
        ),
        Ask(delete_states(lambda known: DeleteTopicState(name=known.name("by-name"))), versions=[6]),
        Ask(delete_states(lambda known: DeleteTopicState(name=None, topic_id=known.id("by-id"))), versions=[6]),
        Settle(metadata("by-id", "by-name"), _is_gone, version=9),
        Ask(metadata("by-id", "by-name"), versions=[9]),
        Ask(delete_states(lambda known: DeleteTopicState(name=None, topic_id=known.id("by-id"))), versions=[6]),
        Ask(delete_states(), versions=[6]),
    ],
)

PARTITIONS = Scenario(
    "create-partitions",
    [
        *new_topic("t", 2),
        Ask(partitions("t", 2)),
        Ask(partitions("t", 1)),
        Ask(partitions("t", 0)),
        Ask(partitions("t", -1), versions=[1, 3]),
        Ask(partitions("t", 3, validate_only=True)),
        Ask(partitions("t", 3)),
        Ask(partitions("t", 4, [[1]])),
        Ask(partitions("t", 6, [[1]]), versions=[1, 3]),
        Ask(partitions("t", 5, [[7]]), versions=[1, 3]),
        Ask(partitions("t", 5, [[]]), versions=[1, 3]),
        Ask(partitions("t", 5, [[1, 1]]), versions=[1, 3]),
        Ask(partitions("nowhere", 5)),
        Settle(metadata("t"), _has_partitions(4), version=9),
        Ask(metadata("t"), versions=[9]),
    ],
)

SCENARIOS = [METADATA, CREATE, DELETE, PARTITIONS]
