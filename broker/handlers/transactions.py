"""
InitProducerId (key 22), v0-5: a producer id, and with a transactional id the sole right to write under it.

Behaviour
  - Without a transactional id: a new id with epoch 0, never given before, also not before a crash. A client that names
    the id and epoch that it had (v3, after an error that it could not resolve) gets the id with the next epoch; a new
    id when the epochs are used up or the id is not ours.
  - With one: the id that belongs to it, with an epoch that fences every earlier incarnation. An open transaction of
    theirs is aborted first, within this request; Kafka answers CONCURRENT_TRANSACTIONS meanwhile.
  - INVALID_TRANSACTION_TIMEOUT above transaction.max.timeout.ms or below 1; PRODUCER_FENCED for an incarnation that
    wants to go on and has a successor; CONCURRENT_TRANSACTIONS while the last transaction is being ended.
Version notes
  - v3 id and epoch of before (KIP-360); v4 PRODUCER_FENCED (KIP-588), INVALID_PRODUCER_EPOCH before; v6 (KIP-939) not
    served

AddPartitionsToTxn (key 24), v0-5: announces the partitions that a producer is about to write to.

Behaviour
  - All or none: one unknown partition (UNKNOWN_TOPIC_OR_PARTITION) and the others are OPERATION_NOT_ATTEMPTED.
  - INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS for each partition alike.
Version notes
  - v2 PRODUCER_FENCED, INVALID_PRODUCER_EPOCH before; v4 several transactions, and verification only (KIP-890)

AddOffsetsToTxn (key 25), v0-4: announces a group whose offsets the transaction will commit.

EndTxn (key 26), v0-5: commits or aborts.

Behaviour
  - Answered when every partition has its marker; what was decided is carried out, also after a crash.
  - INVALID_TXN_STATE for an end that contradicts the state, PRODUCER_FENCED for an incarnation that has a successor.
Version notes
  - v5 (KIP-890): every end raises the epoch, and the answer says which to go on with. A repeated request is known as
    such, and never hits the next transaction.

TxnOffsetCommit (key 28), v0-5: offsets that become a group's when the transaction is committed.

Behaviour
  - The group must have been added before (up to v4). A member that is not of the current generation is refused:
    ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID (KIP-447).
Version notes
  - v3 member and generation; v5 adds the group to the transaction by itself (KIP-890)
"""

from collections.abc import Sequence

from broker.errors import ErrorCode, KafkaError
from broker.groups import CommitRequest, OffsetToCommit, Writer
from broker.handlers.context import BrokerState, RequestContext
from broker.handlers.pending import Pending
from broker.identifiers import TopicPartition
from broker.transactions import (
    GROUP_OFFSETS_TOPIC,
    NO_PRODUCER_ID,
    TRANSACTIONS_V1,
    TRANSACTIONS_V2,
    Producer,
    ProducerResult,
)
from broker.wire.messages.transactions import (
    AddOffsetsToTxnRequest,
    AddOffsetsToTxnResponse,
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
    EndTxnRequest,
    EndTxnResponse,
    InitProducerIdRequest,
    InitProducerIdResponse,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
    TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
)

_EPOCH_MAX = 0x7FFF
_FENCED_FROM = 2
"""The version of AddPartitionsToTxn, AddOffsetsToTxn and EndTxn that knows PRODUCER_FENCED."""


def handle_init_producer_id(
    context: RequestContext, request: InitProducerIdRequest
) -> InitProducerIdResponse | Pending[InitProducerIdResponse]:
    if request.transactional_id is None:
        return _without_transactions(context.broker, request)
    pending: Pending[InitProducerIdResponse] = Pending()

    def complete(result: ProducerResult) -> None:
        pending.complete(
            InitProducerIdResponse(
                error_code=_known_to(context.version, 4, result.error),
                producer_id=result.producer_id,
                producer_epoch=result.producer_epoch,
            )
        )

    given = None
    if request.producer_id != NO_PRODUCER_ID:
        given = Producer(request.producer_id, request.producer_epoch)
    context.broker.transactions.initialise(request.transactional_id, request.transaction_timeout_ms, given, complete)
    return pending


def _without_transactions(broker: BrokerState, request: InitProducerIdRequest) -> InitProducerIdResponse:
    producer_ids = broker.catalog.producer_ids
    known = request.producer_id != NO_PRODUCER_ID and producer_ids.was_given(request.producer_id)
    if known and 0 <= request.producer_epoch < _EPOCH_MAX - 1:
        return InitProducerIdResponse(producer_id=request.producer_id, producer_epoch=request.producer_epoch + 1)
    try:
        return InitProducerIdResponse(producer_id=producer_ids.allocate(), producer_epoch=0)
    except KafkaError as refused:
        return InitProducerIdResponse(error_code=refused.code, producer_id=-1, producer_epoch=-1)


def handle_add_partitions_to_txn(
    context: RequestContext, request: AddPartitionsToTxnRequest
) -> AddPartitionsToTxnResponse:
    if context.version < 4:
        producer = Producer(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch)
        return AddPartitionsToTxnResponse(
            results_by_topic_v3_and_below=_add_partitions(
                context, request.v3_and_below_transactional_id, producer, request.v3_and_below_topics, verify_only=False
            )
        )
    return AddPartitionsToTxnResponse(
        results_by_transaction=[
            AddPartitionsToTxnResult(
                transactional_id=each.transactional_id,
                topic_results=_add_partitions(
                    context,
                    each.transactional_id,
                    Producer(each.producer_id, each.producer_epoch),
                    each.topics,
                    verify_only=each.verify_only,
                ),
            )
            for each in request.transactions
        ]
    )


def _add_partitions(
    context: RequestContext,
    transactional_id: str,
    producer: Producer,
    topics: Sequence[AddPartitionsToTxnTopic],
    *,
    verify_only: bool,
) -> list[AddPartitionsToTxnTopicResult]:
    broker = context.broker
    places = [TopicPartition(topic.name, index) for topic in topics for index in topic.partitions]
    unknown = {place for place in places if not _exists(broker, place)}
    errors: dict[TopicPartition, ErrorCode]
    if verify_only:
        errors = {place: broker.transactions.verify(transactional_id, producer, place) for place in places}
    elif unknown:
        errors = {
            place: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if place in unknown else ErrorCode.OPERATION_NOT_ATTEMPTED
            for place in places
        }
    else:
        errors = dict.fromkeys(places, broker.transactions.add(transactional_id, producer, places, TRANSACTIONS_V1))
    return [
        AddPartitionsToTxnTopicResult(
            name=topic.name,
            results_by_partition=[
                AddPartitionsToTxnPartitionResult(
                    partition_index=index,
                    partition_error_code=_known_to(
                        context.version, _FENCED_FROM, errors[TopicPartition(topic.name, index)]
                    ),
                )
                for index in topic.partitions
            ],
        )
        for topic in topics
    ]


def handle_add_offsets_to_txn(context: RequestContext, request: AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse:
    if not request.group_id:
        return AddOffsetsToTxnResponse(error_code=ErrorCode.INVALID_GROUP_ID)
    error = context.broker.transactions.add(
        request.transactional_id,
        Producer(request.producer_id, request.producer_epoch),
        [offsets_partition()],
        TRANSACTIONS_V1,
    )
    return AddOffsetsToTxnResponse(error_code=_known_to(context.version, _FENCED_FROM, error))


def handle_end_txn(context: RequestContext, request: EndTxnRequest) -> Pending[EndTxnResponse]:
    pending: Pending[EndTxnResponse] = Pending()

    def complete(result: ProducerResult) -> None:
        pending.complete(
            EndTxnResponse(
                error_code=_known_to(context.version, _FENCED_FROM, result.error),
                producer_id=result.producer_id,
                producer_epoch=result.producer_epoch,
            )
        )

    context.broker.transactions.end(
        request.transactional_id,
        Producer(request.producer_id, request.producer_epoch),
        committed=request.committed,
        client_version=TRANSACTIONS_V2 if context.version >= 5 else TRANSACTIONS_V1,
        on_complete=complete,
    )
    return pending


def handle_txn_offset_commit(
    context: RequestContext, request: TxnOffsetCommitRequest
) -> TxnOffsetCommitResponse | Pending[TxnOffsetCommitResponse]:
    broker = context.broker
    producer = Producer(request.producer_id, request.producer_epoch)
    if context.version >= 5:
        error = broker.transactions.add(request.transactional_id, producer, [offsets_partition()], TRANSACTIONS_V2)
    else:
        error = broker.transactions.verify(request.transactional_id, producer, offsets_partition())
        error = _abortable_from(context.version, 4, error)
    errors: dict[TopicPartition, ErrorCode] = {}
    if error is ErrorCode.NONE:
        offsets: dict[TopicPartition, OffsetToCommit] = {}
        for topic in request.topics:
            for each in topic.partitions:
                place = TopicPartition(topic.name, each.partition_index)
                if not _exists(broker, place):
                    errors[place] = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                    continue
                offsets[place] = OffsetToCommit(
                    each.committed_offset, each.committed_leader_epoch, each.committed_metadata or ""
                )
        commit = CommitRequest(
            group_id=request.group_id,
            member_id=request.member_id,
            instance_id=request.group_instance_id,
            generation=request.generation_id,
            offsets=offsets,
        )
        errors.update(broker.groups.commit_in_transaction(commit, Writer(*producer)))
    elif error is ErrorCode.PRODUCER_FENCED:
        error = ErrorCode.INVALID_PRODUCER_EPOCH
    elif error is ErrorCode.CONCURRENT_TRANSACTIONS and context.version < 5:
        # The only answer that older clients try again after.
        error = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    response = TxnOffsetCommitResponse(
        topics=[
            TxnOffsetCommitResponseTopic(
                name=topic.name,
                partitions=[
                    TxnOffsetCommitResponsePartition(
                        partition_index=each.partition_index,
                        error_code=errors.get(TopicPartition(topic.name, each.partition_index), error),
                    )
                    for each in topic.partitions
                ],
            )
            for topic in request.topics
        ]
    )
    return _when_flushed(broker, response)


def _when_flushed(
    broker: BrokerState, response: TxnOffsetCommitResponse
) -> TxnOffsetCommitResponse | Pending[TxnOffsetCommitResponse]:
    # With log.flush.before.ack what is staged has to be on the disk before its producer can decide to commit it.
    staged = [each for topic in response.topics for each in topic.partitions if not each.error_code]
    topic = broker.catalog.find(GROUP_OFFSETS_TOPIC)
    if not staged or topic is None or not topic.config.flush_before_ack:
        return response
    pending: Pending[TxnOffsetCommitResponse] = Pending()

    def flushed(error: ErrorCode) -> None:
        if error:
            for answer in staged:
                answer.error_code = ErrorCode.COORDINATOR_NOT_AVAILABLE
        pending.complete(response)

    partition = topic.partitions[0]
    broker.flushes.wait(partition, partition.log.next_offset - 1, flushed)
    return pending


def offsets_partition() -> TopicPartition:
    """Where every group's offsets are, and so what a transaction that commits some takes part in."""
    return TopicPartition(GROUP_OFFSETS_TOPIC, 0)


def _exists(broker: BrokerState, place: TopicPartition) -> bool:
    topic = broker.catalog.find(place.topic)
    return topic is not None and 0 <= place.partition < len(topic.partitions)


def _known_to(version: int, fenced_from: int, error: ErrorCode) -> ErrorCode:
    if error is ErrorCode.PRODUCER_FENCED and version < fenced_from:
        return ErrorCode.INVALID_PRODUCER_EPOCH
    return error


def _abortable_from(version: int, abortable_from: int, error: ErrorCode) -> ErrorCode:
    if error is ErrorCode.TRANSACTION_ABORTABLE and version < abortable_from:
        return ErrorCode.INVALID_TXN_STATE
    return error
