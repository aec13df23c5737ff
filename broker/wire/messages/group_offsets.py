"""
Committed offsets of a group.

OffsetCommit (key 8)
    v2  a retention time, until v4; lower versions are gone (KIP-896)
    v3  throttle time
    v5  no retention time: offsets expire with their group (KIP-211)
    v6  leader epochs (KIP-320)
    v7  group instance id (KIP-345)
    v8  flexible
    v9  member epoch of the new consumer groups (KIP-848)
    v10 topics by id instead of name (KIP-848)
OffsetFetch (key 9)
    v2  null topics ask for all; an error code for the whole answer
    v3  throttle time
    v5  leader epochs (KIP-320)
    v6  flexible
    v7  the client may require stable offsets: UNSTABLE_OFFSET_COMMIT (KIP-447)
    v8  many groups in one request (KIP-709): `groups` takes the place of `group_id` and `topics`
    v9  member epoch (KIP-848)
    v10 topics by id instead of name (KIP-848)
OffsetDelete (key 47)
    v0  (KIP-496)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct
from broker.wire.primitives import NO_UUID


class OffsetCommitRequestPartition(Struct):
    """In `OffsetCommitRequest.topics.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    committed_offset: Annotated[int, "int64 0+"] = 0
    committed_leader_epoch: Annotated[int, "int32 6+"] = -1
    committed_metadata: Annotated[str | None, "string 0+ null 0+"] = ""


class OffsetCommitRequestTopic(Struct):
    """In `OffsetCommitRequest.topics`."""

    name: Annotated[str, "string 0-9"] = ""
    topic_id: Annotated[UUID, "uuid 10+"] = NO_UUID
    partitions: Annotated[Sequence[OffsetCommitRequestPartition], "[]struct 0+"] = ()


class OffsetCommitRequest(Request, api=ApiKey.OFFSET_COMMIT):
    """OffsetCommit request (key 8), v2-10, flexible from v8."""

    group_id: Annotated[str, "string 0+"] = ""
    generation_id_or_member_epoch: Annotated[int, "int32 1+"] = -1
    member_id: Annotated[str, "string 1+"] = ""
    group_instance_id: Annotated[str | None, "string 7+ null 7+"] = None
    retention_time_ms: Annotated[int, "int64 2-4"] = -1
    topics: Annotated[Sequence[OffsetCommitRequestTopic], "[]struct 0+"] = ()


class OffsetCommitResponsePartition(Struct):
    """In `OffsetCommitResponse.topics.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0


class OffsetCommitResponseTopic(Struct):
    """In `OffsetCommitResponse.topics`."""

    name: Annotated[str, "string 0-9"] = ""
    topic_id: Annotated[UUID, "uuid 10+"] = NO_UUID
    partitions: Annotated[Sequence[OffsetCommitResponsePartition], "[]struct 0+"] = ()


class OffsetCommitResponse(Response, api=ApiKey.OFFSET_COMMIT):
    """OffsetCommit response (key 8), v2-10, flexible from v8."""

    throttle_time_ms: Annotated[int, "int32 3+"] = 0
    topics: Annotated[Sequence[OffsetCommitResponseTopic], "[]struct 0+"] = ()


class OffsetFetchRequestTopic(Struct):
    """In `OffsetFetchRequest.topics`."""

    name: Annotated[str, "string 0-7"] = ""
    partition_indexes: Annotated[Sequence[int], "[]int32 0-7"] = ()


class OffsetFetchRequestTopics(Struct):
    """In `OffsetFetchRequest.groups.topics`."""

    name: Annotated[str, "string 8-9"] = ""
    topic_id: Annotated[UUID, "uuid 10+"] = NO_UUID
    partition_indexes: Annotated[Sequence[int], "[]int32 8+"] = ()


class OffsetFetchRequestGroup(Struct):
    """In `OffsetFetchRequest.groups`."""

    group_id: Annotated[str, "string 8+"] = ""
    member_id: Annotated[str | None, "string 9+ null 9+"] = None
    member_epoch: Annotated[int, "int32 9+"] = -1
    topics: Annotated[Sequence[OffsetFetchRequestTopics] | None, "[]struct 8+ null 8+"] = ()


class OffsetFetchRequest(Request, api=ApiKey.OFFSET_FETCH):
    """OffsetFetch request (key 9), v1-10, flexible from v6."""

    group_id: Annotated[str, "string 0-7"] = ""
    topics: Annotated[Sequence[OffsetFetchRequestTopic] | None, "[]struct 0-7 null 2-7"] = ()
    groups: Annotated[Sequence[OffsetFetchRequestGroup], "[]struct 8+"] = ()
    require_stable: Annotated[bool, "bool 7+"] = False


class OffsetFetchResponsePartition(Struct):
    """In `OffsetFetchResponse.topics.partitions`."""

    partition_index: Annotated[int, "int32 0-7"] = 0
    committed_offset: Annotated[int, "int64 0-7"] = 0
    committed_leader_epoch: Annotated[int, "int32 5-7"] = -1
    metadata: Annotated[str | None, "string 0-7 null 0-7"] = ""
    error_code: Annotated[int, "int16 0-7"] = 0


class OffsetFetchResponseTopic(Struct):
    """In `OffsetFetchResponse.topics`."""

    name: Annotated[str, "string 0-7"] = ""
    partitions: Annotated[Sequence[OffsetFetchResponsePartition], "[]struct 0-7"] = ()


class OffsetFetchResponsePartitions(Struct):
    """In `OffsetFetchResponse.groups.topics.partitions`."""

    partition_index: Annotated[int, "int32 8+"] = 0
    committed_offset: Annotated[int, "int64 8+"] = 0
    committed_leader_epoch: Annotated[int, "int32 8+"] = -1
    metadata: Annotated[str | None, "string 8+ null 8+"] = ""
    error_code: Annotated[int, "int16 8+"] = 0


class OffsetFetchResponseTopics(Struct):
    """In `OffsetFetchResponse.groups.topics`."""

    name: Annotated[str, "string 8-9"] = ""
    topic_id: Annotated[UUID, "uuid 10+"] = NO_UUID
    partitions: Annotated[Sequence[OffsetFetchResponsePartitions], "[]struct 8+"] = ()


class OffsetFetchResponseGroup(Struct):
    """In `OffsetFetchResponse.groups`."""

    group_id: Annotated[str, "string 8+"] = ""
    topics: Annotated[Sequence[OffsetFetchResponseTopics], "[]struct 8+"] = ()
    error_code: Annotated[int, "int16 8+"] = 0


class OffsetFetchResponse(Response, api=ApiKey.OFFSET_FETCH):
    """OffsetFetch response (key 9), v1-10, flexible from v6."""

    throttle_time_ms: Annotated[int, "int32 3+"] = 0
    topics: Annotated[Sequence[OffsetFetchResponseTopic], "[]struct 0-7"] = ()
    error_code: Annotated[int, "int16 2-7"] = 0
    groups: Annotated[Sequence[OffsetFetchResponseGroup], "[]struct 8+"] = ()


class OffsetDeleteRequestPartition(Struct):
    """In `OffsetDeleteRequest.topics.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0


class OffsetDeleteRequestTopic(Struct):
    """In `OffsetDeleteRequest.topics`."""

    name: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[OffsetDeleteRequestPartition], "[]struct 0+"] = ()


class OffsetDeleteRequest(Request, api=ApiKey.OFFSET_DELETE):
    """OffsetDelete request (key 47), v0, never flexible."""

    group_id: Annotated[str, "string 0+"] = ""
    topics: Annotated[Sequence[OffsetDeleteRequestTopic], "[]struct 0+"] = ()


class OffsetDeleteResponsePartition(Struct):
    """In `OffsetDeleteResponse.topics.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0


class OffsetDeleteResponseTopic(Struct):
    """In `OffsetDeleteResponse.topics`."""

    name: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[OffsetDeleteResponsePartition], "[]struct 0+"] = ()


class OffsetDeleteResponse(Response, api=ApiKey.OFFSET_DELETE):
    """OffsetDelete response (key 47), v0, never flexible."""

    error_code: Annotated[int, "int16 0+"] = 0
    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    topics: Annotated[Sequence[OffsetDeleteResponseTopic], "[]struct 0+"] = ()
