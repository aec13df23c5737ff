"""
The cluster, its log directories, its leaders.

DescribeCluster (key 60)
    v0  (KIP-700)
    v1  brokers or controllers (KIP-919)
    v2  fenced brokers on request (KIP-1073)
DescribeLogDirs (key 35)
    v2  flexible
    v3  an error code for the whole answer (KIP-784)
    v4  total and usable bytes of the disk (KIP-827)
    v5  whether a directory is cordoned (KIP-1066)
ElectLeaders (key 43)
    v1  unclean elections (KIP-460); an error code for the whole answer
    v2  flexible
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct


class DescribeClusterRequest(Request, api=ApiKey.DESCRIBE_CLUSTER):
    """DescribeCluster request (key 60), v0-2, flexible from v0."""

    include_cluster_authorized_operations: Annotated[bool, "bool 0+"] = False
    endpoint_type: Annotated[int, "int8 1+"] = 1
    include_fenced_brokers: Annotated[bool, "bool 2+"] = False


class DescribeClusterBroker(Struct):
    """In `DescribeClusterResponse.brokers`."""

    broker_id: Annotated[int, "int32 0+"] = 0
    host: Annotated[str, "string 0+"] = ""
    port: Annotated[int, "int32 0+"] = 0
    rack: Annotated[str | None, "string 0+ null 0+"] = None
    is_fenced: Annotated[bool, "bool 2+"] = False


class DescribeClusterResponse(Response, api=ApiKey.DESCRIBE_CLUSTER):
    """DescribeCluster response (key 60), v0-2, flexible from v0."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = None
    endpoint_type: Annotated[int, "int8 1+"] = 1
    cluster_id: Annotated[str, "string 0+"] = ""
    controller_id: Annotated[int, "int32 0+"] = -1
    brokers: Annotated[Sequence[DescribeClusterBroker], "[]struct 0+"] = ()
    cluster_authorized_operations: Annotated[int, "int32 0+"] = -2147483648


class DescribableLogDirTopic(Struct):
    """In `DescribeLogDirsRequest.topics`."""

    topic: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[int], "[]int32 0+"] = ()


class DescribeLogDirsRequest(Request, api=ApiKey.DESCRIBE_LOG_DIRS):
    """DescribeLogDirs request (key 35), v1-5, flexible from v2."""

    topics: Annotated[Sequence[DescribableLogDirTopic] | None, "[]struct 0+ null 0+"] = ()


class DescribeLogDirsPartition(Struct):
    """In `DescribeLogDirsResponse.results.topics.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    partition_size: Annotated[int, "int64 0+"] = 0
    offset_lag: Annotated[int, "int64 0+"] = 0
    is_future_key: Annotated[bool, "bool 0+"] = False


class DescribeLogDirsTopic(Struct):
    """In `DescribeLogDirsResponse.results.topics`."""

    name: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[DescribeLogDirsPartition], "[]struct 0+"] = ()


class DescribeLogDirsResult(Struct):
    """In `DescribeLogDirsResponse.results`."""

    error_code: Annotated[int, "int16 0+"] = 0
    log_dir: Annotated[str, "string 0+"] = ""
    topics: Annotated[Sequence[DescribeLogDirsTopic], "[]struct 0+"] = ()
    total_bytes: Annotated[int, "int64 4+"] = -1
    usable_bytes: Annotated[int, "int64 4+"] = -1
    is_cordoned: Annotated[bool, "bool 5+"] = False


class DescribeLogDirsResponse(Response, api=ApiKey.DESCRIBE_LOG_DIRS):
    """DescribeLogDirs response (key 35), v1-5, flexible from v2."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 3+"] = 0
    results: Annotated[Sequence[DescribeLogDirsResult], "[]struct 0+"] = ()


class ElectLeadersTopicPartitions(Struct):
    """In `ElectLeadersRequest.topic_partitions`."""

    topic: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[int], "[]int32 0+"] = ()


class ElectLeadersRequest(Request, api=ApiKey.ELECT_LEADERS):
    """ElectLeaders request (key 43), v0-2, flexible from v2."""

    election_type: Annotated[int, "int8 1+"] = 0
    topic_partitions: Annotated[Sequence[ElectLeadersTopicPartitions] | None, "[]struct 0+ null 0+"] = ()
    timeout_ms: Annotated[int, "int32 0+"] = 60000


class ElectLeadersPartitionResult(Struct):
    """In `ElectLeadersResponse.replica_election_results.partition_result`."""

    partition_id: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = ""


class ReplicaElectionResult(Struct):
    """In `ElectLeadersResponse.replica_election_results`."""

    topic: Annotated[str, "string 0+"] = ""
    partition_result: Annotated[Sequence[ElectLeadersPartitionResult], "[]struct 0+"] = ()


class ElectLeadersResponse(Response, api=ApiKey.ELECT_LEADERS):
    """ElectLeaders response (key 43), v0-2, flexible from v2."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 1+"] = 0
    replica_election_results: Annotated[Sequence[ReplicaElectionResult], "[]struct 0+"] = ()
