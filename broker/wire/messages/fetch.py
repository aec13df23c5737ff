"""
Record batches from the log.

Fetch (key 1)
    v4  isolation level, last stable offset, aborted transactions; lower versions are gone (KIP-896)
    v5  log start offset (KIP-107)
    v7  fetch sessions and an error code for the whole answer (KIP-227)
    v9  the client's idea of the leader epoch (KIP-320)
    v10 batches may be compressed by zstd (KIP-110)
    v11 the client's rack and a preferred replica (KIP-392)
    v12 flexible; last fetched epoch, diverging epoch, current leader, snapshot id (KIP-595)
    v13 topics by id instead of name (KIP-516)
    v14 tiered storage may answer OFFSET_MOVED_TO_TIERED_STORAGE (KIP-405)
    v15 the replica id moves into a tagged struct, with the broker's epoch (KIP-903)
    v16 endpoints of current leaders (KIP-951)
    v17 a replica names its directory (KIP-853)
    v18 a replica names its high watermark (KIP-1166)
`records` of an answer are bytes, or any object with a `size` that the socket is given later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct
from broker.wire.primitives import NO_UUID, Records


class ReplicaState(Struct):
    """In `FetchRequest.replica_state`."""

    replica_id: Annotated[int, "int32 15+"] = -1
    replica_epoch: Annotated[int, "int64 15+"] = -1


class FetchPartition(Struct):
    """In `FetchRequest.topics.partitions`."""

    partition: Annotated[int, "int32 0+"] = 0
    current_leader_epoch: Annotated[int, "int32 9+"] = -1
    fetch_offset: Annotated[int, "int64 0+"] = 0
    last_fetched_epoch: Annotated[int, "int32 12+"] = -1
    log_start_offset: Annotated[int, "int64 5+"] = -1
    partition_max_bytes: Annotated[int, "int32 0+"] = 0
    replica_directory_id: Annotated[UUID, "uuid 17+ tag 0"] = NO_UUID
    high_watermark: Annotated[int, "int64 18+ tag 1"] = 9223372036854775807


class FetchTopic(Struct):
    """In `FetchRequest.topics`."""

    topic: Annotated[str, "string 0-12"] = ""
    topic_id: Annotated[UUID, "uuid 13+"] = NO_UUID
    partitions: Annotated[Sequence[FetchPartition], "[]struct 0+"] = ()


class ForgottenTopic(Struct):
    """In `FetchRequest.forgotten_topics_data`."""

    topic: Annotated[str, "string 7-12"] = ""
    topic_id: Annotated[UUID, "uuid 13+"] = NO_UUID
    partitions: Annotated[Sequence[int], "[]int32 7+"] = ()


class FetchRequest(Request, api=ApiKey.FETCH):
    """Fetch request (key 1), v4-18, flexible from v12."""

    cluster_id: Annotated[str | None, "string 12+ null 12+ tag 0"] = None
    replica_id: Annotated[int, "int32 0-14"] = -1
    replica_state: Annotated[ReplicaState | None, "struct 15+ tag 1"] = None
    max_wait_ms: Annotated[int, "int32 0+"] = 0
    min_bytes: Annotated[int, "int32 0+"] = 0
    max_bytes: Annotated[int, "int32 3+"] = 2147483647
    isolation_level: Annotated[int, "int8 4+"] = 0
    session_id: Annotated[int, "int32 7+"] = 0
    session_epoch: Annotated[int, "int32 7+"] = -1
    topics: Annotated[Sequence[FetchTopic], "[]struct 0+"] = ()
    forgotten_topics_data: Annotated[Sequence[ForgottenTopic], "[]struct 7+"] = ()
    rack_id: Annotated[str, "string 11+"] = ""


class FetchEpochEndOffset(Struct):
    """In `FetchResponse.responses.partitions.diverging_epoch`."""

    epoch: Annotated[int, "int32 12+"] = -1
    end_offset: Annotated[int, "int64 12+"] = -1


class FetchLeaderIdAndEpoch(Struct):
    """In `FetchResponse.responses.partitions.current_leader`."""

    leader_id: Annotated[int, "int32 12+"] = -1
    leader_epoch: Annotated[int, "int32 12+"] = -1


class FetchSnapshotId(Struct):
    """In `FetchResponse.responses.partitions.snapshot_id`."""

    end_offset: Annotated[int, "int64 0+"] = -1
    epoch: Annotated[int, "int32 0+"] = -1


class AbortedTransaction(Struct):
    """In `FetchResponse.responses.partitions.aborted_transactions`."""

    producer_id: Annotated[int, "int64 4+"] = 0
    first_offset: Annotated[int, "int64 4+"] = 0


class FetchPartitionData(Struct):
    """In `FetchResponse.responses.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    high_watermark: Annotated[int, "int64 0+"] = 0
    last_stable_offset: Annotated[int, "int64 4+"] = -1
    log_start_offset: Annotated[int, "int64 5+"] = -1
    diverging_epoch: Annotated[FetchEpochEndOffset | None, "struct 12+ tag 0"] = None
    current_leader: Annotated[FetchLeaderIdAndEpoch | None, "struct 12+ tag 1"] = None
    snapshot_id: Annotated[FetchSnapshotId | None, "struct 12+ tag 2"] = None
    aborted_transactions: Annotated[Sequence[AbortedTransaction] | None, "[]struct 4+ null 4+"] = ()
    preferred_read_replica: Annotated[int, "int32 11+"] = -1
    records: Annotated[Records | None, "records 0+ null 0+"] = None


class FetchableTopicResponse(Struct):
    """In `FetchResponse.responses`."""

    topic: Annotated[str, "string 0-12"] = ""
    topic_id: Annotated[UUID, "uuid 13+"] = NO_UUID
    partitions: Annotated[Sequence[FetchPartitionData], "[]struct 0+"] = ()


class FetchNodeEndpoint(Struct):
    """In `FetchResponse.node_endpoints`."""

    node_id: Annotated[int, "int32 16+"] = 0
    host: Annotated[str, "string 16+"] = ""
    port: Annotated[int, "int32 16+"] = 0
    rack: Annotated[str | None, "string 16+ null 16+"] = None


class FetchResponse(Response, api=ApiKey.FETCH):
    """Fetch response (key 1), v4-18, flexible from v12."""

    throttle_time_ms: Annotated[int, "int32 1+"] = 0
    error_code: Annotated[int, "int16 7+"] = 0
    session_id: Annotated[int, "int32 7+"] = 0
    responses: Annotated[Sequence[FetchableTopicResponse], "[]struct 0+"] = ()
    node_endpoints: Annotated[Sequence[FetchNodeEndpoint], "[]struct 16+ tag 0"] = ()
