"""
Metadata (key 3), v0-13: the broker, its topics, and where their partitions are.

Behaviour
  - No topics in v0, null topics from v1: all topics. An empty list from v1: none.
  - A topic that is not there is created when the request allows it (always below v4) and auto.create.topics.enable is
    on; it is there with the answer, so the client need not ask again. Else UNKNOWN_TOPIC_OR_PARTITION, or
    INVALID_TOPIC_EXCEPTION for a name that no topic can have.
  - By id: UNKNOWN_TOPIC_ID for an id that no topic has; nothing is created.
  - Every partition is led by this broker, which is its only replica; an offline one where the disk failed.
Version notes
  - v7 leader epochs (KIP-320); v8 authorized operations (KIP-430), the cluster's gone again in v11 (KIP-700)
  - v10 topic ids (KIP-516); v12 topics can be asked for by id; v13 error for the whole answer (KIP-1102)

DescribeTopicPartitions (key 75), v0: the same in pages (KIP-966).

Behaviour
  - Topics in the order of their names, from the cursor on, response_partition_limit partitions at most; next_cursor
    says where it goes on. A cursor at a negative partition: INVALID_REQUEST for every topic.
  - No topics asked: all. A topic that is not there: UNKNOWN_TOPIC_OR_PARTITION for it. Nothing is created.
"""

from broker.errors import ErrorCode, KafkaError
from broker.handlers import authorized_operations
from broker.handlers.context import BrokerState, RequestContext
from broker.identifiers import NO_TOPIC_ID, TopicId
from broker.topics import INTERNAL_TOPICS, Partition, Topic
from broker.topics.names import check_name
from broker.wire.messages.metadata import (
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponseCursor,
    DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)

PAGE_PARTITIONS_MAX = 2_000


def handle_metadata(context: RequestContext, request: MetadataRequest) -> MetadataResponse:
    broker = context.broker
    operations = (
        authorized_operations.TOPIC if request.include_topic_authorized_operations else authorized_operations.NOT_ASKED
    )
    wants_all = request.topics is None or (context.version == 0 and not request.topics)
    if wants_all:
        topics = [_describe(broker, topic, operations) for topic in broker.catalog]
    else:
        may_create = request.allow_auto_topic_creation and broker.config.auto_create_topics_enable
        topics = [_find(context, asked, may_create=may_create, operations=operations) for asked in request.topics or ()]
    return MetadataResponse(
        brokers=[MetadataResponseBroker(node_id=broker.node_id, host=broker.host, port=broker.port)],
        cluster_id=broker.cluster_id,
        controller_id=broker.node_id,
        topics=topics,
        cluster_authorized_operations=(
            authorized_operations.CLUSTER
            if request.include_cluster_authorized_operations
            else authorized_operations.NOT_ASKED
        ),
    )


def _find(
    context: RequestContext, asked: MetadataRequestTopic, *, may_create: bool, operations: int
) -> MetadataResponseTopic:
    broker = context.broker
    topic_id = TopicId(asked.topic_id)
    if topic_id != NO_TOPIC_ID:
        topic = broker.catalog.find_by_id(topic_id)
        if topic is None:
            # A null name is possible from v12 on.
            name = asked.name if context.version >= 12 else asked.name or ""
            return MetadataResponseTopic(error_code=ErrorCode.UNKNOWN_TOPIC_ID, name=name, topic_id=topic_id)
        return _describe(broker, topic, operations)
    name = asked.name or ""
    topic = broker.catalog.find(name)
    if topic is not None:
        return _describe(broker, topic, operations)
    try:
        check_name(name)
        if not may_create or name in INTERNAL_TOPICS:
            return MetadataResponseTopic(error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, name=name)
        return _describe(broker, broker.catalog.create(name, broker.config.num_partitions, {}), operations)
    except KafkaError as refused:
        return MetadataResponseTopic(error_code=refused.code, name=name)


def _describe(broker: BrokerState, topic: Topic, operations: int) -> MetadataResponseTopic:
    return MetadataResponseTopic(
        name=topic.name,
        topic_id=topic.id,
        is_internal=topic.is_internal,
        partitions=[_describe_partition(broker, partition) for partition in topic.partitions],
        topic_authorized_operations=operations,
    )


def _describe_partition(broker: BrokerState, partition: Partition) -> MetadataResponsePartition:
    replicas = (broker.node_id,)
    return MetadataResponsePartition(
        partition_index=partition.index,
        leader_id=broker.node_id,
        leader_epoch=partition.leader_epoch,
        replica_nodes=replicas,
        isr_nodes=replicas,
        offline_replicas=replicas if partition.offline else (),
    )


def handle_describe_topic_partitions(
    context: RequestContext, request: DescribeTopicPartitionsRequest
) -> DescribeTopicPartitionsResponse:
    broker = context.broker
    names = sorted({topic.name for topic in request.topics} or {topic.name for topic in broker.catalog})
    first_partition = 0
    if request.cursor is not None and request.cursor.partition_index < 0:
        return DescribeTopicPartitionsResponse(
            topics=[
                DescribeTopicPartitionsResponseTopic(error_code=ErrorCode.INVALID_REQUEST, name=topic.name)
                for topic in request.topics
            ]
        )
    if request.cursor is not None:
        names = [name for name in names if name >= request.cursor.topic_name]
        if names and names[0] == request.cursor.topic_name:
            first_partition = request.cursor.partition_index
    left = max(1, min(request.response_partition_limit, PAGE_PARTITIONS_MAX))
    response = DescribeTopicPartitionsResponse()
    topics: list[DescribeTopicPartitionsResponseTopic] = []
    for name in names:
        topic = broker.catalog.find(name)
        if topic is None:
            topics.append(
                DescribeTopicPartitionsResponseTopic(
                    error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
                    name=name,
                    topic_authorized_operations=authorized_operations.TOPIC,
                )
            )
            continue
        if left == 0:
            response.next_cursor = DescribeTopicPartitionsResponseCursor(topic_name=name, partition_index=0)
            break
        page = topic.partitions[first_partition : first_partition + left]
        topics.append(_page_of(broker, topic, page))
        left -= len(page)
        if first_partition + len(page) < len(topic.partitions):
            response.next_cursor = DescribeTopicPartitionsResponseCursor(
                topic_name=name, partition_index=first_partition + len(page)
            )
            break
        first_partition = 0
    response.topics = topics
    return response


def _page_of(broker: BrokerState, topic: Topic, page: list[Partition]) -> DescribeTopicPartitionsResponseTopic:
    replicas = (broker.node_id,)
    return DescribeTopicPartitionsResponseTopic(
        name=topic.name,
        topic_id=topic.id,
        is_internal=topic.is_internal,
        partitions=[
            DescribeTopicPartitionsResponsePartition(
                partition_index=partition.index,
                leader_id=broker.node_id,
                leader_epoch=partition.leader_epoch,
                replica_nodes=replicas,
                isr_nodes=replicas,
                offline_replicas=replicas if partition.offline else (),
                eligible_leader_replicas=(),
                last_known_elr=(),
            )
            for partition in page
        ],
        topic_authorized_operations=authorized_operations.TOPIC,
    )
