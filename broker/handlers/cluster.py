"""
DescribeCluster (key 60), v0-2: the cluster's id and its one broker, which is its controller.

Behaviour
  - Endpoint type 2 (controllers): UNSUPPORTED_ENDPOINT_TYPE; what listens here is a broker's endpoint.
Version notes
  - v1 endpoint type (KIP-919); v2 fenced brokers (KIP-1073): there are none

DescribeLogDirs (key 35), v1-5: bytes per partition, and of the disk (KIP-113, KIP-827).

Behaviour
  - A partition that is offline comes as a directory of its own, with KAFKA_STORAGE_ERROR; its size is -1 when its log
    could not be opened.

ElectLeaders (key 43), v0-2: the only replica leads already. ELECTION_NOT_NEEDED for each partition,
UNKNOWN_TOPIC_OR_PARTITION for one that is not there (KIP-460).
"""

import shutil
from collections.abc import Container, Iterator, Mapping

from broker.errors import ErrorCode
from broker.handlers import authorized_operations
from broker.handlers.context import BrokerState, RequestContext
from broker.topics import Partition, Topic
from broker.wire.messages.cluster import (
    DescribeClusterBroker,
    DescribeClusterRequest,
    DescribeClusterResponse,
    DescribeLogDirsPartition,
    DescribeLogDirsRequest,
    DescribeLogDirsResponse,
    DescribeLogDirsResult,
    DescribeLogDirsTopic,
    ElectLeadersPartitionResult,
    ElectLeadersRequest,
    ElectLeadersResponse,
    ElectLeadersTopicPartitions,
    ReplicaElectionResult,
)

_BROKER_ENDPOINTS = 1
_UNKNOWN = -1


def handle_describe_cluster(context: RequestContext, request: DescribeClusterRequest) -> DescribeClusterResponse:
    broker = context.broker
    if request.endpoint_type != _BROKER_ENDPOINTS:
        known = request.endpoint_type == 2
        return DescribeClusterResponse(
            error_code=ErrorCode.MISMATCHED_ENDPOINT_TYPE if known else ErrorCode.UNSUPPORTED_ENDPOINT_TYPE,
            error_message=f"endpoint type {request.endpoint_type}: this is a broker's endpoint (1)",
        )
    return DescribeClusterResponse(
        cluster_id=broker.cluster_id,
        controller_id=broker.node_id,
        brokers=[DescribeClusterBroker(broker_id=broker.node_id, host=broker.host, port=broker.port)],
        cluster_authorized_operations=(
            authorized_operations.CLUSTER
            if request.include_cluster_authorized_operations
            else authorized_operations.NOT_ASKED
        ),
    )


def handle_describe_log_dirs(context: RequestContext, request: DescribeLogDirsRequest) -> DescribeLogDirsResponse:
    broker = context.broker
    try:
        usage = shutil.disk_usage(broker.data_dir)
        total, usable = usage.total, usage.free
    except OSError:
        total = usable = _UNKNOWN
    wanted = None if request.topics is None else {topic.topic: set(topic.partitions) for topic in request.topics}
    results = [
        DescribeLogDirsResult(
            log_dir=str(broker.data_dir),
            topics=list(_log_sizes(broker, wanted)),
            total_bytes=total,
            usable_bytes=usable,
        )
    ]
    results.extend(
        _offline_directory(broker, topic, partition)
        for topic in broker.catalog
        for partition in topic.partitions
        if partition.offline is not None and (wanted is None or partition.index in wanted.get(topic.name, ()))
    )
    return DescribeLogDirsResponse(results=results)


def _log_sizes(broker: BrokerState, wanted: Mapping[str, Container[int]] | None) -> Iterator[DescribeLogDirsTopic]:
    for topic in broker.catalog:
        if wanted is not None and topic.name not in wanted:
            continue
        yield DescribeLogDirsTopic(
            name=topic.name,
            partitions=[
                DescribeLogDirsPartition(partition_index=partition.index, partition_size=partition.log.size)
                for partition in topic.partitions
                if partition.offline is None and (wanted is None or partition.index in wanted[topic.name])
            ],
        )


def _offline_directory(broker: BrokerState, topic: Topic, partition: Partition) -> DescribeLogDirsResult:
    return DescribeLogDirsResult(
        error_code=ErrorCode.KAFKA_STORAGE_ERROR,
        log_dir=str(broker.data_dir / str(partition)),
        topics=[
            DescribeLogDirsTopic(
                name=topic.name,
                partitions=[
                    DescribeLogDirsPartition(
                        partition_index=partition.index,
                        partition_size=_UNKNOWN if partition.unopened else partition.log.size,
                    )
                ],
            )
        ],
    )


def handle_elect_leaders(context: RequestContext, request: ElectLeadersRequest) -> ElectLeadersResponse:
    catalog = context.broker.catalog
    asked = request.topic_partitions
    if asked is None:
        asked = [
            ElectLeadersTopicPartitions(topic=topic.name, partitions=range(len(topic.partitions))) for topic in catalog
        ]
    results: list[ReplicaElectionResult] = []
    for each in asked:
        topic = catalog.find(each.topic)
        count = 0 if topic is None else len(topic.partitions)
        results.append(
            ReplicaElectionResult(
                topic=each.topic,
                partition_result=[
                    ElectLeadersPartitionResult(
                        partition_id=index,
                        error_code=ErrorCode.ELECTION_NOT_NEEDED,
                        error_message="Leader election not needed for topic partition.",
                    )
                    if 0 <= index < count
                    else ElectLeadersPartitionResult(
                        partition_id=index,
                        error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
                        error_message="The partition does not exist.",
                    )
                    for index in each.partitions
                ],
            )
        )
    return ElectLeadersResponse(replica_election_results=results)
