"""
Offsets by time and by leader epoch, and the start of a log.

ListOffsets (key 2): timestamp -1 asks for the end, -2 for the start, any other for the first record not before it
    v1  one offset instead of a list of segments; lower versions are gone (KIP-896)
    v2  isolation level, throttle time
    v4  leader epochs in request and answer (KIP-320)
    v5  the client may be told OFFSET_NOT_AVAILABLE (KIP-207)
    v6  flexible
    v7  -3, the record with the largest timestamp (KIP-734)
    v8  -4, the earliest offset in local storage (KIP-405)
    v9  -5, the latest offset in tiered storage (KIP-1005)
    v10 a timeout for answers out of tiered storage (KIP-1075)
    v11 -6, the earliest offset that tiered storage still waits for (KIP-1023)
OffsetForLeaderEpoch (key 23)
    v2  the client's idea of the leader epoch (KIP-320), throttle time; the only version that librdkafka speaks
    v3  replica id
    v4  flexible
DeleteRecords (key 21): offset -1 is the high watermark
    v2  flexible
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct


class ListOffsetsPartition(Struct):
    """In `ListOffsetsRequest.topics.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    current_leader_epoch: Annotated[int, "int32 4+"] = -1
    timestamp: Annotated[int, "int64 0+"] = 0


class ListOffsetsTopic(Struct):
    """In `ListOffsetsRequest.topics`."""

    name: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[ListOffsetsPartition], "[]struct 0+"] = ()


class ListOffsetsRequest(Request, api=ApiKey.LIST_OFFSETS):
    """ListOffsets request (key 2), v1-11, flexible from v6."""

    replica_id: Annotated[int, "int32 0+"] = 0
    isolation_level: Annotated[int, "int8 2+"] = 0
    topics: Annotated[Sequence[ListOffsetsTopic], "[]struct 0+"] = ()
    timeout_ms: Annotated[int, "int32 10+"] = 0


class ListOffsetsPartitionResponse(Struct):
    """In `ListOffsetsResponse.topics.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    timestamp: Annotated[int, "int64 1+"] = -1
    offset: Annotated[int, "int64 1+"] = -1
    leader_epoch: Annotated[int, "int32 4+"] = -1


class ListOffsetsTopicResponse(Struct):
    """In `ListOffsetsResponse.topics`."""

    name: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[ListOffsetsPartitionResponse], "[]struct 0+"] = ()


class ListOffsetsResponse(Response, api=ApiKey.LIST_OFFSETS):
    """ListOffsets response (key 2), v1-11, flexible from v6."""

    throttle_time_ms: Annotated[int, "int32 2+"] = 0
    topics: Annotated[Sequence[ListOffsetsTopicResponse], "[]struct 0+"] = ()


class OffsetForLeaderPartition(Struct):
    """In `OffsetForLeaderEpochRequest.topics.partitions`."""

    partition: Annotated[int, "int32 0+"] = 0
    current_leader_epoch: Annotated[int, "int32 2+"] = -1
    leader_epoch: Annotated[int, "int32 0+"] = 0


class OffsetForLeaderTopic(Struct):
    """In `OffsetForLeaderEpochRequest.topics`."""

    topic: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[OffsetForLeaderPartition], "[]struct 0+"] = ()


class OffsetForLeaderEpochRequest(Request, api=ApiKey.OFFSET_FOR_LEADER_EPOCH):
    """OffsetForLeaderEpoch request (key 23), v2-4, flexible from v4."""

    replica_id: Annotated[int, "int32 3+"] = -2
    topics: Annotated[Sequence[OffsetForLeaderTopic], "[]struct 0+"] = ()


class OffsetForLeaderEpochEndOffset(Struct):
    """In `OffsetForLeaderEpochResponse.topics.partitions`."""

    error_code: Annotated[int, "int16 0+"] = 0
    partition: Annotated[int, "int32 0+"] = 0
    leader_epoch: Annotated[int, "int32 1+"] = -1
    end_offset: Annotated[int, "int64 0+"] = -1


class OffsetForLeaderTopicResult(Struct):
    """In `OffsetForLeaderEpochResponse.topics`."""

    topic: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[OffsetForLeaderEpochEndOffset], "[]struct 0+"] = ()


class OffsetForLeaderEpochResponse(Response, api=ApiKey.OFFSET_FOR_LEADER_EPOCH):
    """OffsetForLeaderEpoch response (key 23), v2-4, flexible from v4."""

    throttle_time_ms: Annotated[int, "int32 2+"] = 0
    topics: Annotated[Sequence[OffsetForLeaderTopicResult], "[]struct 0+"] = ()


class DeleteRecordsPartition(Struct):
    """In `DeleteRecordsRequest.topics.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    offset: Annotated[int, "int64 0+"] = 0


class DeleteRecordsTopic(Struct):
    """In `DeleteRecordsRequest.topics`."""

    name: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[DeleteRecordsPartition], "[]struct 0+"] = ()


class DeleteRecordsRequest(Request, api=ApiKey.DELETE_RECORDS):
    """DeleteRecords request (key 21), v0-2, flexible from v2."""

    topics: Annotated[Sequence[DeleteRecordsTopic], "[]struct 0+"] = ()
    timeout_ms: Annotated[int, "int32 0+"] = 0


class DeleteRecordsPartitionResult(Struct):
    """In `DeleteRecordsResponse.topics.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    low_watermark: Annotated[int, "int64 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0


class DeleteRecordsTopicResult(Struct):
    """In `DeleteRecordsResponse.topics`."""

    name: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[DeleteRecordsPartitionResult], "[]struct 0+"] = ()


class DeleteRecordsResponse(Response, api=ApiKey.DELETE_RECORDS):
    """DeleteRecords response (key 21), v0-2, flexible from v2."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    topics: Annotated[Sequence[DeleteRecordsTopicResult], "[]struct 0+"] = ()
