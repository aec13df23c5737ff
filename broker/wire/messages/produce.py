"""
Record batches to the log.

Produce (key 0)
    v3  batches of magic 2; transactional id; lower versions are gone (KIP-896) but advertised, see apis.py
    v5  the answer has the log start offset
    v7  batches may be compressed by zstd (KIP-110)
    v8  the answer names the records that were at fault (KIP-467)
    v9  flexible
    v10 the answer has the current leader and its endpoint where the leader has moved (KIP-951)
    v11 the client may be told TRANSACTION_ABORTABLE (KIP-890)
    v12 the partition joins the transaction by being produced to (KIP-890)
    v13 topics by id instead of name (KIP-516)
acks=0 is answered by nothing. `records` of a request is a window on its frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct
from broker.wire.primitives import NO_UUID


class PartitionProduceData(Struct):
    """In `ProduceRequest.topic_data.partition_data`."""

    index: Annotated[int, "int32 0+"] = 0
    records: Annotated[memoryview | None, "records 0+ null 0+"] = None


class TopicProduceData(Struct):
    """In `ProduceRequest.topic_data`."""

    name: Annotated[str, "string 0-12"] = ""
    topic_id: Annotated[UUID, "uuid 13+"] = NO_UUID
    partition_data: Annotated[Sequence[PartitionProduceData], "[]struct 0+"] = ()


class ProduceRequest(Request, api=ApiKey.PRODUCE):
    """Produce request (key 0), v3-13, flexible from v9."""

    transactional_id: Annotated[str | None, "string 3+ null 3+"] = None
    acks: Annotated[int, "int16 0+"] = 0
    timeout_ms: Annotated[int, "int32 0+"] = 0
    topic_data: Annotated[Sequence[TopicProduceData], "[]struct 0+"] = ()


class ProduceBatchIndexAndErrorMessage(Struct):
    """In `ProduceResponse.responses.partition_responses.record_errors`."""

    batch_index: Annotated[int, "int32 8+"] = 0
    batch_index_error_message: Annotated[str | None, "string 8+ null 8+"] = None


class ProduceLeaderIdAndEpoch(Struct):
    """In `ProduceResponse.responses.partition_responses.current_leader`."""

    leader_id: Annotated[int, "int32 10+"] = -1
    leader_epoch: Annotated[int, "int32 10+"] = -1


class PartitionProduceResponse(Struct):
    """In `ProduceResponse.responses.partition_responses`."""

    index: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    base_offset: Annotated[int, "int64 0+"] = 0
    log_append_time_ms: Annotated[int, "int64 2+"] = -1
    log_start_offset: Annotated[int, "int64 5+"] = -1
    record_errors: Annotated[Sequence[ProduceBatchIndexAndErrorMessage], "[]struct 8+"] = ()
    error_message: Annotated[str | None, "string 8+ null 8+"] = None
    current_leader: Annotated[ProduceLeaderIdAndEpoch | None, "struct 10+ tag 0"] = None


class TopicProduceResponse(Struct):
    """In `ProduceResponse.responses`."""

    name: Annotated[str, "string 0-12"] = ""
    topic_id: Annotated[UUID, "uuid 13+"] = NO_UUID
    partition_responses: Annotated[Sequence[PartitionProduceResponse], "[]struct 0+"] = ()


class ProduceNodeEndpoint(Struct):
    """In `ProduceResponse.node_endpoints`."""

    node_id: Annotated[int, "int32 10+"] = 0
    host: Annotated[str, "string 10+"] = ""
    port: Annotated[int, "int32 10+"] = 0
    rack: Annotated[str | None, "string 10+ null 10+"] = None


class ProduceResponse(Response, api=ApiKey.PRODUCE):
    """Produce response (key 0), v3-13, flexible from v9."""

    responses: Annotated[Sequence[TopicProduceResponse], "[]struct 0+"] = ()
    throttle_time_ms: Annotated[int, "int32 1+"] = 0
    node_endpoints: Annotated[Sequence[ProduceNodeEndpoint], "[]struct 10+ tag 0"] = ()
