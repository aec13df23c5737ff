"""
Produce (key 0), v3-13: record batches to the log.

Behaviour
  - One batch per partition, appended as it came: only its base offset, its leader epoch and, with LogAppendTime, its
    time and CRC are written into it. Each partition succeeds or fails on its own.
  - acks 1 and -1 answer when the bytes are with the operating system, or on the disk for topics with
    flush.before.ack=true; acks 0 is not answered, and closes the connection when something failed. Other values:
    INVALID_REQUIRED_ACKS.
  - Idempotent producers: a batch that is already there is answered with its first offset (see storage/producer_state).
  - Transactional batches: their partition must be in the transaction of the request's transactional id. Up to v11 it
    has been announced; from v12 on this request takes it in. So a batch that comes late can open nothing.
  - Errors of a partition: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, INVALID_TOPIC_EXCEPTION (internal topics),
    CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP, MESSAGE_TOO_LARGE, RECORD_LIST_TOO_LARGE,
    UNSUPPORTED_COMPRESSION_TYPE, OUT_OF_ORDER_SEQUENCE_NUMBER, INVALID_PRODUCER_EPOCH, INVALID_PRODUCER_ID_MAPPING,
    INVALID_TXN_STATE and TRANSACTION_ABORTABLE (outside of a transaction), CONCURRENT_TRANSACTIONS (the last one is
    being ended: try again), KAFKA_STORAGE_ERROR (disk full: try again).
Version notes
  - v0-2 are advertised for old librdkafka and not served (KIP-896); zstd from v7 (KIP-110)
  - v8 error messages (KIP-467); v10 current leader (KIP-951); v11 TRANSACTION_ABORTABLE, v12 transactions v2 (KIP-890);
    v13 topic ids (KIP-516)
"""

from functools import partial

from broker.errors import ErrorCode, KafkaError
from broker.handlers.context import BrokerState, ConnectionMustClose, RequestContext
from broker.handlers.pending import Pending
from broker.identifiers import TopicId, TopicPartition
from broker.records import CorruptBatch, parse_header
from broker.storage.errors import CorruptMessage, MessageTooLarge, NotOneBatch, RecordListTooLarge, StorageError
from broker.topics import Partition, Topic
from broker.transactions import TRANSACTIONS_V2, Producer
from broker.wire.apis import ApiKey
from broker.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceResponse,
)

# Where the attributes lie in a batch, and what they say.
_ATTRIBUTES_LOW_BYTE = 22
_COMPRESSION_MASK = 0x07
_ZSTD = 4
_TRANSACTIONAL = 0x10
_ZSTD_FROM_VERSION = 7
_ABORTABLE_FROM_VERSION = 11
# Refusals for what a batch is by itself; all others are answered with the start of the log, as Kafka does.
_REFUSED_BEFORE_THE_LOG = (CorruptMessage, MessageTooLarge, NotOneBatch, RecordListTooLarge, StorageError)
_IMPLICIT_FROM_VERSION = 12


def handle_produce(
    context: RequestContext, request: ProduceRequest
) -> ProduceResponse | Pending[ProduceResponse] | None:
    waits: list[tuple[Partition, int, PartitionProduceResponse]] = []
    responses: list[TopicProduceResponse] = []
    catalog = context.broker.catalog
    by_id = context.version >= 13
    for data in request.topic_data:
        topic = catalog.find_by_id(TopicId(data.topic_id)) if by_id else catalog.find(data.name)
        responses.append(
            TopicProduceResponse(
                name=data.name,
                topic_id=data.topic_id,
                partition_responses=[
                    _append(context, request, topic, by_id, partition, waits) for partition in data.partition_data
                ],
            )
        )
    if request.acks == 0:
        for topic_response in responses:
            for answered in topic_response.partition_responses:
                if answered.error_code:
                    raise ConnectionMustClose(
                        f"produce with acks=0 failed: {topic_response.name}-{answered.index} "
                        f"{ErrorCode(answered.error_code).name}: {answered.error_message}"
                    )
        return None
    response = ProduceResponse(responses=responses)
    if not waits:
        return response
    return _when_flushed(context.broker, response, waits)


def _append(
    context: RequestContext,
    request: ProduceRequest,
    topic: Topic | None,
    by_id: bool,
    data: PartitionProduceData,
    waits: list[tuple[Partition, int, PartitionProduceResponse]],
) -> PartitionProduceResponse:
    if request.acks not in (-1, 0, 1):
        return _refusal(
            context,
            data.index,
            ErrorCode.INVALID_REQUIRED_ACKS,
            f"acks is {request.acks}; 0, 1 and -1 (all) are possible",
        )
    if topic is None:
        return _refusal(
            context, data.index, ErrorCode.UNKNOWN_TOPIC_ID if by_id else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, None
        )
    partitions = topic.partitions
    if not 0 <= data.index < len(partitions):
        return _refusal(
            context,
            data.index,
            ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
            f"topic '{topic.name}' has {len(partitions)} partitions, 0 to {len(partitions) - 1}",
        )
    if topic.is_internal:
        return _refusal(
            context,
            data.index,
            ErrorCode.INVALID_TOPIC_EXCEPTION,
            f"topic '{topic.name}' is written by the broker only",
        )
    records = data.records
    if records is None:
        return _refusal(context, data.index, ErrorCode.INVALID_RECORD, "no records")
    if len(records) > _ATTRIBUTES_LOW_BYTE:
        attributes = records[_ATTRIBUTES_LOW_BYTE]
        if attributes & _COMPRESSION_MASK == _ZSTD and context.version < _ZSTD_FROM_VERSION:
            return _refusal(
                context,
                data.index,
                ErrorCode.UNSUPPORTED_COMPRESSION_TYPE,
                f"zstd needs Produce v{_ZSTD_FROM_VERSION}, this is v{context.version}",
            )
        if attributes & _TRANSACTIONAL:
            error = _refuse_transactional(context, request.transactional_id, topic.name, data.index, records)
            if error is not ErrorCode.NONE:
                return _refusal(
                    context, data.index, error, f"{topic.name}-{data.index} is in no open transaction of the producer"
                )
    partition = partitions[data.index]
    try:
        appended = partition.append(records)
    except KafkaError as refused:
        return refused_append(context.broker, partition, refused)
    response = PartitionProduceResponse(
        index=data.index,
        base_offset=appended.base_offset,
        log_append_time_ms=appended.log_append_time_ms,
        log_start_offset=appended.log_start_offset,
    )
    config = partition.log.config
    if config.flushes:
        if not config.flush_before_ack:
            context.broker.flushes.schedule(partition)
        elif request.acks == 0:
            context.broker.flushes.flush(partition)
        else:
            waits.append((partition, appended.last_offset, response))
    return response


def refused_append(broker: BrokerState, partition: Partition, refused: KafkaError) -> PartitionProduceResponse:
    """The answer for a batch that the partition's log did not take."""
    broker.count_error(ApiKey.PRODUCE, refused.code)
    response = PartitionProduceResponse(
        index=partition.index, error_code=refused.code, base_offset=-1, error_message=refused.message
    )
    if not isinstance(refused, _REFUSED_BEFORE_THE_LOG):
        response.log_start_offset = partition.log.log_start_offset
    return response


def _refuse_transactional(
    context: RequestContext, transactional_id: str | None, topic: str, index: int, records: memoryview
) -> ErrorCode:
    """Why a transactional batch may not be written; NONE when its partition is in its producer's transaction."""
    if transactional_id is None:
        return ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    try:
        header = parse_header(records)
    except CorruptBatch:
        return ErrorCode.CORRUPT_MESSAGE
    transactions = context.broker.transactions
    producer = Producer(header.producer_id, header.producer_epoch)
    place = TopicPartition(topic, index)
    if context.version >= _IMPLICIT_FROM_VERSION:
        error = transactions.add(transactional_id, producer, (place,), TRANSACTIONS_V2)
    else:
        error = transactions.verify(transactional_id, producer, place)
    match error:
        case ErrorCode.PRODUCER_FENCED:
            return ErrorCode.INVALID_PRODUCER_EPOCH
        case ErrorCode.TRANSACTION_ABORTABLE if context.version < _ABORTABLE_FROM_VERSION:
            return ErrorCode.INVALID_TXN_STATE
        case ErrorCode.CONCURRENT_TRANSACTIONS if context.version < _IMPLICIT_FROM_VERSION:
            # An answer that older clients try again after.
            return ErrorCode.NOT_ENOUGH_REPLICAS
        case _:
            return error


def _when_flushed(
    broker: BrokerState, response: ProduceResponse, waits: list[tuple[Partition, int, PartitionProduceResponse]]
) -> Pending[ProduceResponse]:
    pending: Pending[ProduceResponse] = Pending()
    left = len(waits)

    def flushed(answer: PartitionProduceResponse, error: ErrorCode) -> None:
        nonlocal left
        if error:
            answer.error_code, answer.base_offset = error, -1
            broker.count_error(ApiKey.PRODUCE, error)
            answer.error_message = "the append could not be brought to the disk; it may be there after a restart"
        left -= 1
        if left == 0:
            pending.complete(response)

    for partition, last_offset, answer in waits:
        broker.flushes.wait(partition, last_offset, partial(flushed, answer))
    return pending


def _refusal(context: RequestContext, index: int, code: ErrorCode, message: str | None) -> PartitionProduceResponse:
    context.broker.count_error(ApiKey.PRODUCE, code)
    return PartitionProduceResponse(index=index, error_code=code, base_offset=-1, error_message=message)
