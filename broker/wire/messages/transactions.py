"""
Producer ids and transactions.

InitProducerId (key 22)
    v2  flexible
    v3  producer id and epoch of a producer that goes on (KIP-360)
    v4  the client may be told PRODUCER_FENCED (KIP-588)
    v5  the client may be told TRANSACTION_ABORTABLE (KIP-890)
    v6  two-phase commit (KIP-939): unstable in Kafka, its fields are declared, the version is not
AddPartitionsToTxn (key 24)
    v2  the client may be told PRODUCER_FENCED (KIP-588)
    v3  flexible
    v4  many transactions in one request, for brokers (KIP-890): `transactions` takes the place of the v3 fields
    v5  the client may be told TRANSACTION_ABORTABLE (KIP-890)
AddOffsetsToTxn (key 25)
    v3  flexible
    v4  the client may be told TRANSACTION_ABORTABLE (KIP-890)
EndTxn (key 26)
    v3  flexible
    v4  the client may be told TRANSACTION_ABORTABLE (KIP-890)
    v5  the answer has the producer id and the epoch to go on with (KIP-890)
TxnOffsetCommit (key 28)
    v2  leader epochs (KIP-320)
    v3  flexible; generation, member and instance id (KIP-447)
    v4  the client may be told TRANSACTION_ABORTABLE (KIP-890)
    v5  the group joins the transaction by this very request (KIP-890)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct


class InitProducerIdRequest(Request, api=ApiKey.INIT_PRODUCER_ID):
    """InitProducerId request (key 22), v0-5, flexible from v2."""

    transactional_id: Annotated[str | None, "string 0+ null 0+"] = ""
    transaction_timeout_ms: Annotated[int, "int32 0+"] = 0
    producer_id: Annotated[int, "int64 3+"] = -1
    producer_epoch: Annotated[int, "int16 3+"] = -1
    enable2_pc: Annotated[bool, "bool 6+"] = False
    keep_prepared_txn: Annotated[bool, "bool 6+"] = False


class InitProducerIdResponse(Response, api=ApiKey.INIT_PRODUCER_ID):
    """InitProducerId response (key 22), v0-5, flexible from v2."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    producer_id: Annotated[int, "int64 0+"] = -1
    producer_epoch: Annotated[int, "int16 0+"] = 0
    ongoing_txn_producer_id: Annotated[int, "int64 6+"] = -1
    ongoing_txn_producer_epoch: Annotated[int, "int16 6+"] = -1


class AddPartitionsToTxnTopic(Struct):
    """In `AddPartitionsToTxnRequest.transactions.topics`."""

    name: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[int], "[]int32 0+"] = ()


class AddPartitionsToTxnTransaction(Struct):
    """In `AddPartitionsToTxnRequest.transactions`."""

    transactional_id: Annotated[str, "string 4+"] = ""
    producer_id: Annotated[int, "int64 4+"] = 0
    producer_epoch: Annotated[int, "int16 4+"] = 0
    verify_only: Annotated[bool, "bool 4+"] = False
    topics: Annotated[Sequence[AddPartitionsToTxnTopic], "[]struct 4+"] = ()


class AddPartitionsToTxnRequest(Request, api=ApiKey.ADD_PARTITIONS_TO_TXN):
    """AddPartitionsToTxn request (key 24), v0-5, flexible from v3."""

    transactions: Annotated[Sequence[AddPartitionsToTxnTransaction], "[]struct 4+"] = ()
    v3_and_below_transactional_id: Annotated[str, "string 0-3"] = ""
    v3_and_below_producer_id: Annotated[int, "int64 0-3"] = 0
    v3_and_below_producer_epoch: Annotated[int, "int16 0-3"] = 0
    v3_and_below_topics: Annotated[Sequence[AddPartitionsToTxnTopic], "[]struct 0-3"] = ()


class AddPartitionsToTxnPartitionResult(Struct):
    """In `AddPartitionsToTxnResponse.results_by_transaction.topic_results.results_by_partition`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    partition_error_code: Annotated[int, "int16 0+"] = 0


class AddPartitionsToTxnTopicResult(Struct):
    """In `AddPartitionsToTxnResponse.results_by_transaction.topic_results`."""

    name: Annotated[str, "string 0+"] = ""
    results_by_partition: Annotated[Sequence[AddPartitionsToTxnPartitionResult], "[]struct 0+"] = ()


class AddPartitionsToTxnResult(Struct):
    """In `AddPartitionsToTxnResponse.results_by_transaction`."""

    transactional_id: Annotated[str, "string 4+"] = ""
    topic_results: Annotated[Sequence[AddPartitionsToTxnTopicResult], "[]struct 4+"] = ()


class AddPartitionsToTxnResponse(Response, api=ApiKey.ADD_PARTITIONS_TO_TXN):
    """AddPartitionsToTxn response (key 24), v0-5, flexible from v3."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 4+"] = 0
    results_by_transaction: Annotated[Sequence[AddPartitionsToTxnResult], "[]struct 4+"] = ()
    results_by_topic_v3_and_below: Annotated[Sequence[AddPartitionsToTxnTopicResult], "[]struct 0-3"] = ()


class AddOffsetsToTxnRequest(Request, api=ApiKey.ADD_OFFSETS_TO_TXN):
    """AddOffsetsToTxn request (key 25), v0-4, flexible from v3."""

    transactional_id: Annotated[str, "string 0+"] = ""
    producer_id: Annotated[int, "int64 0+"] = 0
    producer_epoch: Annotated[int, "int16 0+"] = 0
    group_id: Annotated[str, "string 0+"] = ""


class AddOffsetsToTxnResponse(Response, api=ApiKey.ADD_OFFSETS_TO_TXN):
    """AddOffsetsToTxn response (key 25), v0-4, flexible from v3."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0


class EndTxnRequest(Request, api=ApiKey.END_TXN):
    """EndTxn request (key 26), v0-5, flexible from v3."""

    transactional_id: Annotated[str, "string 0+"] = ""
    producer_id: Annotated[int, "int64 0+"] = 0
    producer_epoch: Annotated[int, "int16 0+"] = 0
    committed: Annotated[bool, "bool 0+"] = False


class EndTxnResponse(Response, api=ApiKey.END_TXN):
    """EndTxn response (key 26), v0-5, flexible from v3."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    producer_id: Annotated[int, "int64 5+"] = -1
    producer_epoch: Annotated[int, "int16 5+"] = -1


class TxnOffsetCommitRequestPartition(Struct):
    """In `TxnOffsetCommitRequest.topics.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    committed_offset: Annotated[int, "int64 0+"] = 0
    committed_leader_epoch: Annotated[int, "int32 2+"] = -1
    committed_metadata: Annotated[str | None, "string 0+ null 0+"] = ""


class TxnOffsetCommitRequestTopic(Struct):
    """In `TxnOffsetCommitRequest.topics`."""

    name: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[TxnOffsetCommitRequestPartition], "[]struct 0+"] = ()


class TxnOffsetCommitRequest(Request, api=ApiKey.TXN_OFFSET_COMMIT):
    """TxnOffsetCommit request (key 28), v0-5, flexible from v3."""

    transactional_id: Annotated[str, "string 0+"] = ""
    group_id: Annotated[str, "string 0+"] = ""
    producer_id: Annotated[int, "int64 0+"] = 0
    producer_epoch: Annotated[int, "int16 0+"] = 0
    generation_id: Annotated[int, "int32 3+"] = -1
    member_id: Annotated[str, "string 3+"] = ""
    group_instance_id: Annotated[str | None, "string 3+ null 3+"] = None
    topics: Annotated[Sequence[TxnOffsetCommitRequestTopic], "[]struct 0+"] = ()


class TxnOffsetCommitResponsePartition(Struct):
    """In `TxnOffsetCommitResponse.topics.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0


class TxnOffsetCommitResponseTopic(Struct):
    """In `TxnOffsetCommitResponse.topics`."""

    name: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[TxnOffsetCommitResponsePartition], "[]struct 0+"] = ()


class TxnOffsetCommitResponse(Response, api=ApiKey.TXN_OFFSET_COMMIT):
    """TxnOffsetCommit response (key 28), v0-5, flexible from v3."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    topics: Annotated[Sequence[TxnOffsetCommitResponseTopic], "[]struct 0+"] = ()
