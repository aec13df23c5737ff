"""
ListOffsets (key 2), v1-11: offsets by time.

Behaviour
  - -1 latest: the high watermark, or the last stable offset with read_committed. -2 earliest: the log's start. -3 the
    record with the largest timestamp. -4 earliest local: as -2, everything is local. -5 and -6 (tiered storage): -1,
    there is none.
  - Else the first record with a timestamp >= the asked one, with its time; none below the high watermark: offset and
    time -1.
  - A special value that the version does not know: UNSUPPORTED_VERSION of that partition.
Version notes
  - v2 isolation level (KIP-98); v4 leader epochs (KIP-320); v7 max timestamp (KIP-734); v8 and v9 tiered storage
    (KIP-405, KIP-1005)
  - v10 timeout (KIP-1075); v11 earliest pending upload (KIP-1023)

OffsetForLeaderEpoch (key 23), v2-4: where an epoch ended.

Behaviour
  - The largest epoch that is not above the asked one, and the offset at which it ended; the current epoch ends at the
    log's end.
  - v2 is the only version that librdkafka speaks.
Version notes
  - v3 replica ids -1 and -2 (KIP-392); v4 flexible

DeleteRecords (key 21), v0-2: moves the start of a log.

Behaviour
  - Offset -1 is the high watermark; beyond it or below -1: OFFSET_OUT_OF_RANGE. The answer has the new log start, and
    comes when that is on the disk; KAFKA_STORAGE_ERROR when it could not be written, and a crash may bring them back.
"""

import logging

from broker.errors import ErrorCode, KafkaError
from broker.handlers.context import BrokerState, RequestContext
from broker.handlers.leader_epochs import check_leader_epoch
from broker.handlers.pending import Pending
from broker.topics import Partition
from broker.wire.messages.offsets import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
    OffsetForLeaderEpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
)

LOG = logging.getLogger("broker.handlers")

_LATEST, _EARLIEST, _MAX_TIMESTAMP, _EARLIEST_LOCAL, _LATEST_TIERED, _EARLIEST_PENDING_UPLOAD = -1, -2, -3, -4, -5, -6
_LOWEST_VERSION_OF = {
    _LATEST: 1,
    _EARLIEST: 1,
    _MAX_TIMESTAMP: 7,
    _EARLIEST_LOCAL: 8,
    _LATEST_TIERED: 9,
    _EARLIEST_PENDING_UPLOAD: 11,
}
_READ_COMMITTED = 1


def find_partition(broker: BrokerState, topic_name: str, index: int) -> Partition | None:
    topic = broker.catalog.find(topic_name)
    if topic is None or not 0 <= index < len(topic.partitions):
        return None
    return topic.partitions[index]


def handle_list_offsets(context: RequestContext, request: ListOffsetsRequest) -> ListOffsetsResponse:
    committed_only = request.isolation_level == _READ_COMMITTED
    return ListOffsetsResponse(
        topics=[
            ListOffsetsTopicResponse(
                name=topic.name,
                partitions=[_list_offset(context, topic.name, asked, committed_only) for asked in topic.partitions],
            )
            for topic in request.topics
        ]
    )


def _list_offset(
    context: RequestContext, topic: str, asked: ListOffsetsPartition, committed_only: bool
) -> ListOffsetsPartitionResponse:
    response = ListOffsetsPartitionResponse(partition_index=asked.partition_index)
    partition = find_partition(context.broker, topic, asked.partition_index)
    if partition is None:
        response.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return response
    if asked.timestamp < 0 and context.version < _LOWEST_VERSION_OF.get(asked.timestamp, 1 << 15):
        response.error_code = ErrorCode.UNSUPPORTED_VERSION
        return response
    response.error_code = check_leader_epoch(partition, asked.current_leader_epoch)
    if response.error_code:
        return response
    log = partition.log
    end = log.last_stable_offset if committed_only else log.high_watermark
    try:
        if asked.timestamp == _LATEST:
            response.offset, response.leader_epoch = end, partition.leader_epoch
        elif asked.timestamp in (_EARLIEST, _EARLIEST_LOCAL):
            response.offset = log.log_start_offset
            is_empty = log.log_start_offset == log.next_offset
            response.leader_epoch = partition.leader_epoch if is_empty else log.leader_epoch_at(log.log_start_offset)
        elif asked.timestamp not in (_LATEST_TIERED, _EARLIEST_PENDING_UPLOAD):
            by_maximum = asked.timestamp == _MAX_TIMESTAMP
            found = log.offset_of_max_timestamp() if by_maximum else log.offset_for_timestamp(asked.timestamp)
            if found is not None and found.offset < end:
                response.offset, response.timestamp = found.offset, found.timestamp
                response.leader_epoch = found.leader_epoch
    except KafkaError as refused:
        response.error_code = refused.code
    return response


def handle_offset_for_leader_epoch(
    context: RequestContext, request: OffsetForLeaderEpochRequest
) -> OffsetForLeaderEpochResponse:
    return OffsetForLeaderEpochResponse(
        topics=[
            OffsetForLeaderTopicResult(
                topic=topic.topic,
                partitions=[_epoch_end(context.broker, topic.topic, asked) for asked in topic.partitions],
            )
            for topic in request.topics
        ]
    )


def _epoch_end(broker: BrokerState, topic: str, asked: OffsetForLeaderPartition) -> OffsetForLeaderEpochEndOffset:
    response = OffsetForLeaderEpochEndOffset(partition=asked.partition)
    partition = find_partition(broker, topic, asked.partition)
    if partition is None:
        response.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return response
    response.error_code = check_leader_epoch(partition, asked.current_leader_epoch)
    if response.error_code:
        return response
    if asked.leader_epoch == partition.leader_epoch:
        response.leader_epoch, response.end_offset = partition.leader_epoch, partition.log.next_offset
    elif asked.leader_epoch < partition.leader_epoch:
        known = partition.log.end_offset_for_epoch(asked.leader_epoch)
        response.leader_epoch, response.end_offset = known.leader_epoch, known.end_offset
    return response


def handle_delete_records(context: RequestContext, request: DeleteRecordsRequest) -> Pending[DeleteRecordsResponse]:
    broker = context.broker
    response = DeleteRecordsResponse(
        topics=[
            DeleteRecordsTopicResult(
                name=topic.name,
                partitions=[_delete_records(broker, topic.name, asked) for asked in topic.partitions],
            )
            for topic in request.topics
        ]
    )
    pending: Pending[DeleteRecordsResponse] = Pending()

    def written(outcome: Exception | None) -> None:
        if outcome is not None:
            LOG.error("log starts not written down reason=%s", outcome)
            for result in (result for topic in response.topics for result in topic.partitions):
                if not result.error_code:
                    result.error_code, result.low_watermark = ErrorCode.KAFKA_STORAGE_ERROR, -1
        pending.complete(response)

    # One write for all of them, and not on this thread: it takes some fsyncs.
    broker.background.run(broker.catalog.take_checkpoints().write, written)
    return pending


def _delete_records(broker: BrokerState, topic: str, asked: DeleteRecordsPartition) -> DeleteRecordsPartitionResult:
    response = DeleteRecordsPartitionResult(partition_index=asked.partition_index, low_watermark=-1)
    partition = find_partition(broker, topic, asked.partition_index)
    if partition is None:
        response.error_code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return response
    try:
        response.low_watermark = partition.log.delete_records(asked.offset)
    except KafkaError as refused:
        response.error_code = refused.code
    partition.advanced()
    return response
