"""
DescribeCluster (key 60), v0-2: the cluster's id and its one broker, which is its controller.

Behaviour
  - Endpoint type 2 (controllers): UNSUPPORTED_ENDPOINT_TYPE; what listens here is a broker's endpoint.
Version notes
  - v1 endpoint type (KIP-919); v2 fenced brokers (KIP-1073): there are none

DescribeLogDirs (key 35), v1-5: bytes per partition, and of the disk (KIP-113, KIP-827).

ElectLeaders (key 43), v0-2: the only replica leads already. ELECTION_NOT_NEEDED for each partition,
UNKNOWN_TOPIC_OR_PARTITION for one that is not there (KIP-460).
"""

import shutil
from collections.abc import Iterator, Sequence

from broker.errors import ErrorCode
from broker.handlers import authorized_operations
from broker.handlers.context import BrokerState, RequestContext
from broker.wire.messages.cluster import (
    DescribableLogDirTopic,
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
    usage = shutil.disk_usage(broker.data_dir)
    return DescribeLogDirsResponse(
        results=[
            DescribeLogDirsResult(
                log_dir=str(broker.data_dir),
                topics=list(_log_sizes(broker, request.topics)),
                total_bytes=usage.total,
                usable_bytes=usage.free,
            )
        ]
    )


def _log_sizes(broker: BrokerState, asked: Sequence[DescribableLogDirTopic] | None) -> Iterator[DescribeLogDirsTopic]:
    wanted = None if asked is None else {topic.topic: set(topic.partitions) for topic in asked}
    for topic in broker.catalog:
        if wanted is not None and topic.name not in wanted:
            continue
        yield DescribeLogDirsTopic(
            name=topic.name,
            partitions=[
                DescribeLogDirsPartition(partition_index=partition.index, partition_size=partition.log.size)
                for partition in topic.partitions
                if wanted is None or partition.index in wanted[topic.name]
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
