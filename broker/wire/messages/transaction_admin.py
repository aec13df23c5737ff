"""
What producers and transactions are under way (KIP-664).

DescribeProducers (key 61)
    v0
DescribeTransactions (key 65)
    v0
ListTransactions (key 66)
    v1  filter by duration (KIP-994)
    v2  filter of transactional ids by a pattern (KIP-1152)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response, Struct


class DescribeProducersTopicRequest(Struct):
    """In `DescribeProducersRequest.topics`."""

    name: Annotated[str, "string 0+"] = ""
    partition_indexes: Annotated[Sequence[int], "[]int32 0+"] = ()


class DescribeProducersRequest(Request, api=ApiKey.DESCRIBE_PRODUCERS):
    """DescribeProducers request (key 61), v0, flexible from v0."""

    topics: Annotated[Sequence[DescribeProducersTopicRequest], "[]struct 0+"] = ()


class ProducerState(Struct):
    """In `DescribeProducersResponse.topics.partitions.active_producers`."""

    producer_id: Annotated[int, "int64 0+"] = 0
    producer_epoch: Annotated[int, "int32 0+"] = 0
    last_sequence: Annotated[int, "int32 0+"] = -1
    last_timestamp: Annotated[int, "int64 0+"] = -1
    coordinator_epoch: Annotated[int, "int32 0+"] = 0
    current_txn_start_offset: Annotated[int, "int64 0+"] = -1


class DescribeProducersPartition(Struct):
    """In `DescribeProducersResponse.topics.partitions`."""

    partition_index: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    error_message: Annotated[str | None, "string 0+ null 0+"] = None
    active_producers: Annotated[Sequence[ProducerState], "[]struct 0+"] = ()


class DescribeProducersTopic(Struct):
    """In `DescribeProducersResponse.topics`."""

    name: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[DescribeProducersPartition], "[]struct 0+"] = ()


class DescribeProducersResponse(Response, api=ApiKey.DESCRIBE_PRODUCERS):
    """DescribeProducers response (key 61), v0, flexible from v0."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    topics: Annotated[Sequence[DescribeProducersTopic], "[]struct 0+"] = ()


class DescribeTransactionsRequest(Request, api=ApiKey.DESCRIBE_TRANSACTIONS):
    """DescribeTransactions request (key 65), v0, flexible from v0."""

    transactional_ids: Annotated[Sequence[str], "[]string 0+"] = ()


class DescribeTransactionsTopicData(Struct):
    """In `DescribeTransactionsResponse.transaction_states.topics`."""

    topic: Annotated[str, "string 0+"] = ""
    partitions: Annotated[Sequence[int], "[]int32 0+"] = ()


class DescribedTransaction(Struct):
    """In `DescribeTransactionsResponse.transaction_states`."""

    error_code: Annotated[int, "int16 0+"] = 0
    transactional_id: Annotated[str, "string 0+"] = ""
    transaction_state: Annotated[str, "string 0+"] = ""
    transaction_timeout_ms: Annotated[int, "int32 0+"] = 0
    transaction_start_time_ms: Annotated[int, "int64 0+"] = 0
    producer_id: Annotated[int, "int64 0+"] = 0
    producer_epoch: Annotated[int, "int16 0+"] = 0
    topics: Annotated[Sequence[DescribeTransactionsTopicData], "[]struct 0+"] = ()


class DescribeTransactionsResponse(Response, api=ApiKey.DESCRIBE_TRANSACTIONS):
    """DescribeTransactions response (key 65), v0, flexible from v0."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    transaction_states: Annotated[Sequence[DescribedTransaction], "[]struct 0+"] = ()


class ListTransactionsRequest(Request, api=ApiKey.LIST_TRANSACTIONS):
    """ListTransactions request (key 66), v0-2, flexible from v0."""

    state_filters: Annotated[Sequence[str], "[]string 0+"] = ()
    producer_id_filters: Annotated[Sequence[int], "[]int64 0+"] = ()
    duration_filter: Annotated[int, "int64 1+"] = -1
    transactional_id_pattern: Annotated[str | None, "string 2+ null 2+"] = None


class ListedTransaction(Struct):
    """In `ListTransactionsResponse.transaction_states`."""

    transactional_id: Annotated[str, "string 0+"] = ""
    producer_id: Annotated[int, "int64 0+"] = 0
    transaction_state: Annotated[str, "string 0+"] = ""


class ListTransactionsResponse(Response, api=ApiKey.LIST_TRANSACTIONS):
    """ListTransactions response (key 66), v0-2, flexible from v0."""

    throttle_time_ms: Annotated[int, "int32 0+"] = 0
    error_code: Annotated[int, "int16 0+"] = 0
    unknown_state_filters: Annotated[Sequence[str], "[]string 0+"] = ()
    transaction_states: Annotated[Sequence[ListedTransaction], "[]struct 0+"] = ()
