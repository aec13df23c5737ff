"""
CreateTopics (key 19), v2-7.

Behaviour
  - Each topic succeeds or fails on its own, with a message. validate_only checks and creates nothing.
  - Partitions -1: num.partitions. Replication factor -1 or 1: there is one broker (INVALID_REPLICATION_FACTOR).
    Assignments may name this broker only, for partitions 0, 1, 2 … (INVALID_REPLICA_ASSIGNMENT), and exclude the other
    two (INVALID_REQUEST).
  - A name that comes twice in a request: INVALID_REQUEST for it. Else TOPIC_ALREADY_EXISTS, INVALID_TOPIC_EXCEPTION,
    INVALID_PARTITIONS, INVALID_CONFIG, POLICY_VIOLATION (limits).
Version notes
  - v4 defaults for partitions and replication (KIP-464); v5 answers the settings (KIP-525); v7 the topic id (KIP-516)

DeleteTopics (key 20), v1-6.

Behaviour
  - By name, from v6 also by id (INVALID_REQUEST when both are given, or neither, or one twice). Gone when it is
    answered; the files are removed in the background.
  - UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, TOPIC_DELETION_DISABLED (delete.topic.enable=false),
    INVALID_TOPIC_EXCEPTION (internal topics).

CreatePartitions (key 37), v0-3.

Behaviour
  - Widens a topic; fewer or as many as there are: INVALID_PARTITIONS. Assignments as for CreateTopics.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from broker.errors import ErrorCode, KafkaError
from broker.handlers.context import BrokerState, RequestContext
from broker.identifiers import NO_TOPIC_ID, TopicId
from broker.topics import Topic, remove_directories
from broker.wire.messages.topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeletableTopicResult,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    DeleteTopicState,
)

_DEFAULT = -1


def handle_create_topics(context: RequestContext, request: CreateTopicsRequest) -> CreateTopicsResponse:
    times = Counter(topic.name for topic in request.topics)
    results: list[CreatableTopicResult] = []
    for name, asked in {topic.name: topic for topic in request.topics}.items():
        try:
            if times[name] > 1:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
            results.append(_create(context, asked, validate_only=request.validate_only))
        except KafkaError as refused:
            results.append(CreatableTopicResult(name=name, error_code=refused.code, error_message=refused.message))
    return CreateTopicsResponse(topics=results)


def _create(context: RequestContext, asked: CreatableTopic, *, validate_only: bool) -> CreatableTopicResult:
    broker = context.broker
    partitions = _partition_count(broker, asked)
    overrides: dict[str, str] = {}
    for entry in asked.configs:
        if entry.value is None:
            raise KafkaError(ErrorCode.INVALID_CONFIG, f"Null value not supported for topic configs: {entry.name}")
        overrides[entry.name] = entry.value
    if validate_only:
        config, topic_id = broker.catalog.check_new(asked.name, partitions, overrides), NO_TOPIC_ID
    else:
        topic = broker.catalog.create(asked.name, partitions, overrides)
        config, topic_id = topic.config, topic.id
    return CreatableTopicResult(
        name=asked.name,
        topic_id=topic_id,
        error_message=None,
        num_partitions=partitions,
        replication_factor=1,
        configs=[
            CreatableTopicConfigs(
                name=entry.name,
                value=entry.value,
                read_only=entry.read_only,
                config_source=entry.source,
                is_sensitive=entry.sensitive,
            )
            for entry in config.describe(broker.config)
        ],
    )


def _partition_count(broker: BrokerState, asked: CreatableTopic) -> int:
    if asked.assignments:
        if asked.num_partitions != _DEFAULT or asked.replication_factor != _DEFAULT:
            raise KafkaError(
                ErrorCode.INVALID_REQUEST,
                "A manual partition assignment excludes partition count and replication factor: set both to -1.",
            )
        indexes = sorted(assignment.partition_index for assignment in asked.assignments)
        if indexes != list(range(len(indexes))):
            raise KafkaError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"partitions should be a consecutive 0-based integer sequence, they are {indexes[:20]}",
            )
        _check_assignments(broker, [assignment.broker_ids for assignment in asked.assignments])
        return len(indexes)
    if asked.replication_factor not in (_DEFAULT, 1):
        raise KafkaError(
            ErrorCode.INVALID_REPLICATION_FACTOR,
            f"Replication factor: {asked.replication_factor} larger than available brokers: 1."
            if asked.replication_factor > 1
            else "Replication factor must be larger than 0, or -1 to use the default value.",
        )
    if asked.num_partitions == _DEFAULT:
        return broker.config.num_partitions
    if asked.num_partitions <= 0:
        raise KafkaError(ErrorCode.INVALID_PARTITIONS, "Number of partitions was set to an invalid non-positive value.")
    return asked.num_partitions


def _check_assignments(broker: BrokerState, assignments: Sequence[Sequence[int]]) -> None:
    for broker_ids in assignments:
        if list(broker_ids) != [broker.node_id]:
            raise KafkaError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"replicas {list(broker_ids)[:20]}: this cluster has one broker, {broker.node_id}",
            )


def handle_delete_topics(context: RequestContext, request: DeleteTopicsRequest) -> DeleteTopicsResponse:
    asked = [DeleteTopicState(name=name) for name in request.topic_names] if context.version < 6 else request.topics
    times = Counter((each.name, each.topic_id) for each in asked)
    once = {(each.name, each.topic_id): each for each in asked}
    return DeleteTopicsResponse(
        responses=[_delete(context, each, is_repeated=times[key] > 1) for key, each in once.items()]
    )


def _delete(context: RequestContext, asked: DeleteTopicState, *, is_repeated: bool) -> DeletableTopicResult:
    broker = context.broker
    result = DeletableTopicResult(name=asked.name, topic_id=asked.topic_id)
    try:
        if is_repeated:
            raise KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
        topic = _to_delete(broker, asked)
        result.name, result.topic_id = topic.name, topic.id
        doomed = broker.catalog.delete(topic)
    except KafkaError as refused:
        result.error_code, result.error_message = refused.code, refused.message
        return result
    broker.groups.topic_deleted(topic.name)
    broker.background.run(partial(remove_directories, doomed, broker.files), lambda _outcome: None)
    return result


def _to_delete(broker: BrokerState, asked: DeleteTopicState) -> Topic:
    topic_id = TopicId(asked.topic_id)
    if asked.name is not None and topic_id != NO_TOPIC_ID:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "You may not specify both topic name and topic id.")
    if asked.name is None and topic_id == NO_TOPIC_ID:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Neither topic name nor id were specified.")
    if not broker.config.delete_topic_enable:
        raise KafkaError(ErrorCode.TOPIC_DELETION_DISABLED, "delete.topic.enable is false")
    if asked.name is None:
        topic = broker.catalog.find_by_id(topic_id)
        if topic is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID, "This server does not host this topic ID.")
    else:
        topic = broker.catalog.find(asked.name)
        if topic is None:
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.")
    if topic.is_internal:
        raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, f"topic '{topic.name}' belongs to the broker")
    return topic


def handle_create_partitions(context: RequestContext, request: CreatePartitionsRequest) -> CreatePartitionsResponse:
    times = Counter(topic.name for topic in request.topics)
    results: list[CreatePartitionsTopicResult] = []
    for name, asked in {topic.name: topic for topic in request.topics}.items():
        result = CreatePartitionsTopicResult(name=name)
        try:
            if times[name] > 1:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
            _widen(context.broker, asked, validate_only=request.validate_only)
        except KafkaError as refused:
            result.error_code, result.error_message = refused.code, refused.message
        results.append(result)
    return CreatePartitionsResponse(results=results)


def _widen(broker: BrokerState, asked: CreatePartitionsTopic, *, validate_only: bool) -> None:
    topic = broker.catalog.find(asked.name)
    if topic is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "This server does not host this topic-partition.")
    have = len(topic.partitions)
    if asked.count <= have:
        raise KafkaError(
            ErrorCode.INVALID_PARTITIONS,
            f"The topic {asked.name} currently has {have} partition(s); {asked.count} would not be an increase.",
        )
    if asked.assignments is not None:
        if len(asked.assignments) != asked.count - have:
            raise KafkaError(
                ErrorCode.INVALID_REPLICA_ASSIGNMENT,
                f"{asked.count - have} partition(s) to add, but {len(asked.assignments)} assignment(s) were specified.",
            )
        _check_assignments(broker, [assignment.broker_ids for assignment in asked.assignments])
    broker.catalog.check_partition_count(asked.count, asked.count - have)
    if not validate_only:
        broker.catalog.add_partitions(topic, asked.count)
