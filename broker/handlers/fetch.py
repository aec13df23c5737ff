"""
Fetch (key 1), v4-18: record batches from the log, as slices of its files.

Behaviour
  - Whole batches from the one that holds the fetch offset on (the client trims), up to the high watermark; the first
    batch of an answer comes even when it is larger than max_bytes (KIP-74).
  - Fewer than min_bytes: parked under its partitions for max_wait_ms, woken by appends, by deletion, by a move of the
    log's start. An error in any partition is answered at once.
  - read_committed reads to the last stable offset, and is told which transactions in what it gets were aborted; the
    client leaves their records out.
  - Sessions (KIP-227) are not kept: the answer's session id is 0, and clients send every partition each time. A request
    that names a session gets FETCH_SESSION_ID_NOT_FOUND.
  - Errors of a partition: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, OFFSET_OUT_OF_RANGE, FENCED_LEADER_EPOCH,
    UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
Version notes
  - v7 sessions (KIP-227); v9 leader epochs (KIP-320); v11 rack (KIP-392); v12 diverging epoch (KIP-595); v13 topic ids
    (KIP-516)
  - v15 replica state (KIP-903); v16 node endpoints (KIP-951); v17 directory ids (KIP-853); v18 high watermark of
    followers (KIP-1166)
"""

from dataclasses import dataclass
from uuid import UUID

from broker.errors import ErrorCode, KafkaError
from broker.handlers.context import RequestContext
from broker.handlers.leader_epochs import check_leader_epoch
from broker.handlers.pending import Pending
from broker.identifiers import TopicId
from broker.storage import LogSlice
from broker.storage.errors import OffsetOutOfRange
from broker.topics import Partition
from broker.wire.messages.fetch import (
    AbortedTransaction,
    FetchableTopicResponse,
    FetchEpochEndOffset,
    FetchPartition,
    FetchPartitionData,
    FetchRequest,
    FetchResponse,
)

_READ_COMMITTED = 1
_NO_SESSION_EPOCHS = (0, -1)


def handle_fetch(context: RequestContext, request: FetchRequest) -> FetchResponse | Pending[FetchResponse]:
    if request.session_id != 0:
        return FetchResponse(error_code=ErrorCode.FETCH_SESSION_ID_NOT_FOUND)
    if request.session_epoch not in _NO_SESSION_EPOCHS:
        return FetchResponse(error_code=ErrorCode.INVALID_FETCH_SESSION_EPOCH)
    fetch = _Fetch(context, request)
    if request.max_wait_ms <= 0 or context.broker.stopping or fetch.is_satisfied():
        return fetch.answer()
    pending: Pending[FetchResponse] = Pending()
    parked = _ParkedFetch(fetch, pending)
    deadline = context.broker.clock.monotonic() + request.max_wait_ms / 1000
    context.broker.fetches.park(parked, keys=fetch.partitions(), deadline=deadline, owner=context.owner)
    return pending


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One partition of a request; `error` when it cannot be read."""

    topic: str
    topic_id: UUID
    partition: Partition | None
    asked: FetchPartition
    error: ErrorCode


class _Fetch:
    """A fetch request resolved against the catalog: can be looked at as often as its partitions move."""

    __slots__ = ("_context", "_request", "_wanted")

    def __init__(self, context: RequestContext, request: FetchRequest) -> None:
        self._context = context
        self._request = request
        self._wanted = self._resolve()

    def partitions(self) -> list[Partition]:
        return [wanted.partition for wanted in self._wanted if wanted.partition is not None]

    def is_satisfied(self) -> bool:
        """Whether there is an error to tell or min_bytes to send."""
        missing = self._request.min_bytes
        if not self._wanted:
            # Nothing to read is nothing to wait for.
            return True
        for wanted in self._wanted:
            partition = wanted.partition
            if wanted.error or partition is None or partition.deleted:
                return True
            log = partition.log
            end = self._readable_end(partition)
            offset = wanted.asked.fetch_offset
            if not log.log_start_offset <= offset <= log.next_offset:
                return True
            if offset < end and missing > 0:
                if missing == 1:
                    return True
                missing -= min(log.bytes_between(offset, end), wanted.asked.partition_max_bytes)
        return missing <= 0

    def answer(self) -> FetchResponse:
        responses: list[FetchableTopicResponse] = []
        partitions: list[FetchPartitionData] = []
        bytes_left = min(self._request.max_bytes, self._context.broker.config.fetch_max_bytes)
        nothing_yet = True
        previous: tuple[str, UUID] | None = None
        for wanted in self._wanted:
            if previous != (wanted.topic, wanted.topic_id):
                previous = (wanted.topic, wanted.topic_id)
                partitions = []
                responses.append(
                    FetchableTopicResponse(topic=wanted.topic, topic_id=wanted.topic_id, partitions=partitions)
                )
            data = self._read(wanted, bytes_left, at_least_one_batch=nothing_yet)
            if isinstance(data.records, LogSlice):
                bytes_left -= data.records.size
                nothing_yet = False
            partitions.append(data)
        return FetchResponse(responses=responses)

    def _resolve(self) -> list[_Wanted]:
        catalog = self._context.broker.catalog
        by_id = self._context.version >= 13
        resolved: list[_Wanted] = []
        for topic_asked in self._request.topics:
            topic_id = TopicId(topic_asked.topic_id)
            topic = catalog.find_by_id(topic_id) if by_id else catalog.find(topic_asked.topic)
            for asked in topic_asked.partitions:
                partition: Partition | None = None
                if topic is None:
                    error = ErrorCode.UNKNOWN_TOPIC_ID if by_id else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                elif not 0 <= asked.partition < len(topic.partitions):
                    error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
                else:
                    partition = topic.partitions[asked.partition]
                    error = check_leader_epoch(partition, asked.current_leader_epoch)
                resolved.append(_Wanted(topic_asked.topic, topic_asked.topic_id, partition, asked, error))
        return resolved

    def _readable_end(self, partition: Partition) -> int:
        if self._request.isolation_level == _READ_COMMITTED:
            return partition.log.last_stable_offset
        return partition.log.high_watermark

    def _read(self, wanted: _Wanted, bytes_left: int, *, at_least_one_batch: bool) -> FetchPartitionData:
        asked, partition = wanted.asked, wanted.partition
        if wanted.error or partition is None:
            return _refusal(asked.partition, wanted.error)
        if partition.deleted:
            by_id = self._context.version >= 13
            return _refusal(
                asked.partition, ErrorCode.UNKNOWN_TOPIC_ID if by_id else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            )
        log = partition.log
        data = FetchPartitionData(
            partition_index=asked.partition,
            high_watermark=log.high_watermark,
            last_stable_offset=log.last_stable_offset,
            log_start_offset=log.log_start_offset,
            aborted_transactions=() if self._request.isolation_level == _READ_COMMITTED else None,
            records=b"",
        )
        if asked.last_fetched_epoch >= 0:
            known = log.end_offset_for_epoch(asked.last_fetched_epoch)
            if known.leader_epoch < asked.last_fetched_epoch or known.end_offset < asked.fetch_offset:
                data.diverging_epoch = FetchEpochEndOffset(epoch=known.leader_epoch, end_offset=known.end_offset)
                return data
        try:
            records = log.read(
                asked.fetch_offset,
                max(0, min(asked.partition_max_bytes, bytes_left)),
                at_least_one_batch=at_least_one_batch,
                up_to=self._readable_end(partition),
            )
        except OffsetOutOfRange:
            refusal = _refusal(asked.partition, ErrorCode.OFFSET_OUT_OF_RANGE)
            refusal.high_watermark, refusal.log_start_offset = log.high_watermark, log.log_start_offset
            return refusal
        except KafkaError as refused:
            return _refusal(asked.partition, refused.code)
        if records is not None:
            data.records = records
            if self._request.isolation_level == _READ_COMMITTED:
                data.aborted_transactions = self._aborted(partition, asked.fetch_offset)
        return data

    def _aborted(self, partition: Partition, offset: int) -> list[AbortedTransaction]:
        log = partition.log
        # Perhaps more than the batches of this answer meet: the client passes over those that it does not reach.
        return [
            AbortedTransaction(producer_id=each.producer_id, first_offset=each.first_offset)
            for each in log.aborted_in(offset, log.last_stable_offset)
        ]


class _ParkedFetch:
    """A fetch in the purgatory: answered when there is enough, or with what there is when its time is over."""

    __slots__ = ("_fetch", "_pending")

    def __init__(self, fetch: _Fetch, pending: Pending[FetchResponse]) -> None:
        self._fetch = fetch
        self._pending = pending

    def try_complete(self) -> bool:
        if not self._fetch.is_satisfied():
            return False
        self.expire()
        return True

    def expire(self) -> None:
        self._pending.complete(self._fetch.answer())


def _refusal(partition: int, error: ErrorCode) -> FetchPartitionData:
    return FetchPartitionData(
        partition_index=partition,
        error_code=error,
        high_watermark=-1,
        last_stable_offset=-1,
        log_start_offset=-1,
        aborted_transactions=None,
        records=b"",
    )
