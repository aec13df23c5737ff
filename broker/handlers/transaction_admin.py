"""
DescribeProducers (key 61), v0: who has written to a partition, and who has a transaction open there (KIP-664).

Behaviour
  - The producers whose last batches the partition remembers. UNKNOWN_TOPIC_OR_PARTITION.

DescribeTransactions (key 65), v0: transactional ids as they stand.

Behaviour
  - TRANSACTIONAL_ID_NOT_FOUND for an id that nobody has initialised or that has expired; INVALID_REQUEST for "".
  - The topics are those of the transaction under way; its start is -1 when there is none.

ListTransactions (key 66), v0-2: the transactional ids that pass all filters.

Behaviour
  - States are compared by name; those that are none are told in the answer, and the others filter.
Version notes
  - v1 by duration (KIP-994); v2 by an RE2 pattern that has to match the whole id (KIP-1152):
    INVALID_REGULAR_EXPRESSION
"""

from collections.abc import Iterable

from broker.errors import ErrorCode, KafkaError
from broker.handlers.context import BrokerState, RequestContext
from broker.handlers.offsets import find_partition
from broker.identifiers import TopicPartition
from broker.transactions import ListFilter, TransactionState
from broker.wire.messages.transaction_admin import (
    DescribedTransaction,
    DescribeProducersPartition,
    DescribeProducersRequest,
    DescribeProducersResponse,
    DescribeProducersTopic,
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    DescribeTransactionsTopicData,
    ListedTransaction,
    ListTransactionsRequest,
    ListTransactionsResponse,
    ProducerState,
)

_STATES = {state.value: state for state in TransactionState}


def handle_describe_producers(context: RequestContext, request: DescribeProducersRequest) -> DescribeProducersResponse:
    return DescribeProducersResponse(
        topics=[
            DescribeProducersTopic(
                name=topic.name,
                partitions=[
                    _describe_producers(context.broker, topic.name, index) for index in topic.partition_indexes
                ],
            )
            for topic in request.topics
        ]
    )


def _describe_producers(broker: BrokerState, topic: str, index: int) -> DescribeProducersPartition:
    partition = find_partition(broker, topic, index)
    if partition is None:
        return DescribeProducersPartition(
            partition_index=index,
            error_code=ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            error_message="This server does not host this topic-partition.",
        )
    if partition.unopened is not None:
        return DescribeProducersPartition(
            partition_index=index,
            error_code=ErrorCode.KAFKA_STORAGE_ERROR,
            error_message=partition.unopened.message,
        )
    return DescribeProducersPartition(
        partition_index=index,
        active_producers=[
            ProducerState(
                producer_id=state.producer_id,
                producer_epoch=state.producer_epoch,
                last_sequence=state.last_sequence,
                last_timestamp=state.last_timestamp,
                coordinator_epoch=state.coordinator_epoch,
                current_txn_start_offset=-1 if state.transaction_start is None else state.transaction_start,
            )
            for state in partition.log.active_producers()
        ],
    )


def handle_describe_transactions(
    context: RequestContext, request: DescribeTransactionsRequest
) -> DescribeTransactionsResponse:
    return DescribeTransactionsResponse(
        transaction_states=[_describe(context.broker, each) for each in request.transactional_ids]
    )


def _describe(broker: BrokerState, transactional_id: str) -> DescribedTransaction:
    if not transactional_id:
        return DescribedTransaction(error_code=ErrorCode.INVALID_REQUEST, transactional_id=transactional_id)
    found = broker.transactions.describe(transactional_id)
    if found is None:
        return DescribedTransaction(error_code=ErrorCode.TRANSACTIONAL_ID_NOT_FOUND, transactional_id=transactional_id)
    return DescribedTransaction(
        transactional_id=transactional_id,
        transaction_state=found.state.value,
        transaction_timeout_ms=found.timeout_ms,
        transaction_start_time_ms=found.start_ms if found.state.is_open else -1,
        producer_id=found.producer_id,
        producer_epoch=found.producer_epoch,
        topics=_by_topic(found.partitions),
    )


def _by_topic(partitions: Iterable[TopicPartition]) -> list[DescribeTransactionsTopicData]:
    by_topic: dict[str, list[int]] = {}
    for place in sorted(partitions):
        by_topic.setdefault(place.topic, []).append(place.partition)
    return [DescribeTransactionsTopicData(topic=topic, partitions=indexes) for topic, indexes in by_topic.items()]


def handle_list_transactions(context: RequestContext, request: ListTransactionsRequest) -> ListTransactionsResponse:
    states = [_STATES[name] for name in request.state_filters if name in _STATES]
    unknown = [name for name in request.state_filters if name not in _STATES]
    if unknown and not states:
        # No id is in a state that there is not.
        return ListTransactionsResponse(unknown_state_filters=unknown)
    wanted = ListFilter(
        states=states,
        producer_ids=request.producer_id_filters,
        duration_ms=request.duration_filter,
        pattern=request.transactional_id_pattern,
    )
    try:
        found = context.broker.transactions.list(wanted)
    except KafkaError as refused:
        return ListTransactionsResponse(error_code=refused.code)
    return ListTransactionsResponse(
        unknown_state_filters=unknown,
        transaction_states=[
            ListedTransaction(
                transactional_id=each.transactional_id,
                producer_id=each.producer_id,
                transaction_state=each.state.value,
            )
            for each in found
        ],
    )
