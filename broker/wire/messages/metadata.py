"""
Brokers, topics and partitions, and who leads them.

Metadata (key 3)
    v0  an empty list of topics asks for all
    v1  null asks for all, empty for none; controller, racks, internal topics
    v2  cluster id
    v3  throttle time
    v4  the client says whether missing topics are to be created
    v5  offline replicas (KIP-112)
    v7  leader epochs (KIP-320)
    v8  authorized operations on request (KIP-430)
    v9  flexible
    v10 topic ids (KIP-516)
    v11 authorized operations of the cluster are gone: DescribeCluster has them (KIP-700)
    v12 topics can be asked for by id alone (their name is null then); before, null names were unsound
    v13 an error code for the whole answer (KIP-1102)
DescribeTopicPartitions (key 75)
    v0  partitions in pages, with a cursor; eligible leader replicas (KIP-966)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct
from broker.wire.primitives import NO_UUID


class MetadataRequestTopic(Struct):
    """In `MetadataRequest.topics`."""

    topic_id: Annotated[UUID, "uuid 10+"] = NO_UUID
    name: Annotated[str | None, "string 0+ null 10+"] = ""


class MetadataRequest(Request, api=ApiKey.METADATA):
    """Metadata request (key 3), v0-13, flexible from v9."""

    topics: Annotated[Sequence[MetadataRequestTopic] | None, "[]struct 0+ null 1+"] = ()
    allow_auto_topic_creation: Annotated[bool, "bool 4+"] = True
    include_cluster_authorized_operations: Annotated[bool, "bool 8-10"] = False
    include_topic_authorized_operations: Annotated[bool, "bool 8+"] = False


class MetadataResponseBroker(Struct):
    """In `MetadataResponse.brokers`."""

    node_id: Annotated[int, "int32 0+"] = 0
    host: Annotated[str, "string 0+"] = ""
    port: Annotated[int, "int32 0+"] = 0
    rack: Annotated[str | None, "string 1+ null 1+"] = None


class MetadataResponsePartition(Struct):
    """In `MetadataResponse.topics.partitions`."""

    error_code: Annotated[int, "int16 0+"] = 0
    partition_index: Annotated[int, "int32 0+"] = 0
    leader_id: Annotated[int, "int32 0+"] = 0
    leader_epoch: Annotated[int, "int32 7+"] = -1
    replica_nodes: Annotated[Sequence[int], "[]int32 0+"] = ()
    isr_nodes: Annotated[Sequence[int], "[]int32 0+"] = ()
    offline_replicas: Annotated[Sequence[int], "[]int32 5+"] = ()


class MetadataResponseTopic(Struct):
    """In `MetadataResponse.topics`."""

    error_code: Annotated[int, "int16 0+"] = 0
    name: Annotated[str | None, "string 0+ null 12+"] = ""
    topic_id: Annotated[UUID, "uuid 10+"] = NO_UUID
    is_internal: Annotated[bool, "bool 1+"] = False
    partitions: Annotated[Sequence[MetadataResponsePartition], "[]struct 0+"] = ()
    topic_authorized_operations: Annotated[int, "int32 8+"] = -2147483648


class MetadataResponse(Response, api=ApiKey.METADATA):
    """Metadata response (key 3), v0-13, flexible from v9."""

    throttle_time_ms: Annotated[int, "int32 3+"] = 0
    brokers: Annotated[Sequence[MetadataResponseBroker], "[]struct 0+"] = ()
    cluster_id: Annotated[str | None, "string 2+ null 2+"] = None
    controller_id: Annotated[int, "int32 1+"] = -1
    topics: Annotated[Sequence[MetadataResponseTopic], "[]struct 0+"] = ()
    cluster_authorized_operations: Annotated[int, "int32 8-10"] = -2147483648
    error_code: Annotated[int, "int16 13+"] = 0


class DescribeTopicPartitionsTopicRequest(Struct):
    """In `DescribeTopicPartitionsRequest.topics`."""

    name: Annotated[str, "string 0+"] = ""


class DescribeTopicPartitionsRequestCursor(Struct):
    """In `DescribeTopicPartitionsRequest.cursor`."""

    topic_name: Annotated[str, "string 0+"] = ""
    partition_index: Annotated[int, "int32 0+"] = 0


class DescribeTopicPartitionsRequest(Request, api=ApiKey.DESCRIBE_TOPIC_PARTITIONS):
    """DescribeTopicPartitions request (key 75), v0, flexible from v0."""

    topics: Annotated[Sequence[DescribeTopicPartitionsTopicRequest], "[]struct 0+"] = ()
    response_partition_limit: Annotated[int, "int32 0+"] = 2000
    cursor: Annotated[DescribeTopicPartitionsRequestCursor | None, "struct 0+ null 0+"] = None


class DescribeTopicPartitionsResponsePartition(Struct):
    """In `DescribeTopicPartitionsResponse.topics.partitions`."""

    error_code: Annotated[int, "int16 0+"] = 0
    partition_index: Annotated[int, "int32 0+"] = 0
    leader_id: Annotated[int, "int32 0+"] = 0
    leader_epoch: Annotated[int, "int32 0+"] = -1
    replica_nodes: Annotated[Sequence[int], "[]int32 0+"] = ()
    isr_nodes: Annotated[Sequence[int], "[]int32 0+"] = ()
    eligible_leader_replicas: Annotated[Sequence[int] | None, "[]int32 0+ null 0+"] = None
    last_known_elr: Annotated[Sequence[int] | None, "[]int32 0+ null 0+"] = None
    offline_replicas: Annotated[Sequence[int], "[]int32 0+"] = ()


class DescribeTopicPartitionsResponseTopic(Struct):
    """In `DescribeTopicPartitionsResponse.topics`."""

    error_code: Annotated[int, "int16 0+"] = 0
    name: Annotated[str | None, "string 0+ null 0+"] = ""
    topic_id: Annotated[UUID, "uuid 0+"] = NO_UUID
    is_internal: Annotated[bool, "bool 0+"] = False
    partitions: Annotated[Sequence[DescribeTopicPartitionsResponsePartition], "[]struct 0+"] = ()
    topic_authorized_operations: Annotated[int, "int32 0+"] = -2147483648


class DescribeTopicPartitionsResponseCursor(Struct):
    """In `DescribeTopicPartitionsResponse.next_cursor`."""

    topic_name: Annotated[str, "string 0+"] = ""
    partition_index: Annotated[int, "int32 0+"] = 0


class DescribeTopicPartitionsResponse(Response, api=ApiKey.DESCRIBE_TOPIC_PARTITIONS):
    """DescribeTopicPartitions response (key 75), v0, flexible from v0."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    topics: Annotated[Sequence[DescribeTopicPartitionsResponseTopic], "[]struct 0+"] = ()
    next_cursor: Annotated[DescribeTopicPartitionsResponseCursor | None, "struct 0+ null 0+"] = None
