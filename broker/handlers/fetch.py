"""
Fetch (key 1), v4-18: record batches from the log, as slices of its files.

Behaviour
  - Whole batches from the one that holds the fetch offset on (the client trims), up to the high watermark; the first
    batch of an answer comes even when it is larger than max_bytes (KIP-74).
  - Fewer than min_bytes: parked under its partitions for max_wait_ms, woken by appends, by deletion, by a move of the
    log's start. Above max.parked.fetches: answered at once, with a throttle time. So is an error in any partition.
  - read_committed reads to the last stable offset, and is told which transactions in what it gets were aborted; the
    client leaves their records out.
  - Sessions (KIP-227): see fetch_sessions.py. An incremental answer names the partitions with records, with an error,
    or whose high watermark, last stable offset or log start has moved.
  - Errors of a partition: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID, OFFSET_OUT_OF_RANGE, FENCED_LEADER_EPOCH,
    UNKNOWN_LEADER_EPOCH, KAFKA_STORAGE_ERROR.
Version notes
  - v7 sessions (KIP-227); v9 leader epochs (KIP-320); v11 rack (KIP-392); v12 diverging epoch (KIP-595); v13 topic ids
    (KIP-516)
  - v15 replica state (KIP-903); v16 node endpoints (KIP-951); v17 directory ids (KIP-853); v18 high watermark of
    followers (KIP-1166)
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from broker.errors import ErrorCode, KafkaError
from broker.handlers.context import RequestContext
from broker.handlers.fetch_sessions import INITIAL_EPOCH, FetchSession, WantedPartition
from broker.handlers.leader_epochs import check_leader_epoch
from broker.handlers.pending import Pending
from broker.identifiers import TopicId
from broker.limits import shortened
from broker.storage import LogSlice
from broker.storage.errors import OffsetOutOfRange
from broker.topics import Partition
from broker.wire.apis import ApiKey
from broker.wire.messages.fetch import (
    AbortedTransaction,
    FetchableTopicResponse,
    FetchEpochEndOffset,
    FetchPartitionData,
    FetchRequest,
    FetchResponse,
)

_READ_COMMITTED = 1
_THROTTLE_MS_MAX = 1_000
_TOPIC_IDS_FROM_VERSION = 13


def handle_fetch(context: RequestContext, request: FetchRequest) -> FetchResponse | Pending[FetchResponse]:
    by_id = context.version >= _TOPIC_IDS_FROM_VERSION
    try:
        session = context.broker.fetch_sessions.resume(request, by_id=by_id)
    except KafkaError as refused:
        return FetchResponse(error_code=refused.code)
    fetch = _Fetch(context, request, session)
    if request.max_wait_ms <= 0 or context.broker.stopping or fetch.is_satisfied():
        return fetch.answer()
    if len(context.broker.fetches) >= context.broker.config.max_parked_fetches:
        return _not_parked(context, fetch, request.max_wait_ms)
    pending: Pending[FetchResponse] = Pending()
    parked = _ParkedFetch(fetch, pending)
    deadline = context.broker.clock.monotonic() + request.max_wait_ms / 1000
    context.broker.fetches.park(parked, keys=fetch.partitions(), deadline=deadline, owner=context.owner)
    return pending


def _not_parked(context: RequestContext, fetch: "_Fetch", max_wait_ms: int) -> FetchResponse:
    """What there is, and the wish that the client waits by itself before it comes again."""
    broker = context.broker
    broker.limits.reached(
        "max.parked.fetches",
        broker.config.max_parked_fetches,
        f"a fetch of {shortened(context.client_id)} from {context.client_host}",
        broker.clock.monotonic(),
    )
    answer = fetch.answer()
    answer.throttle_time_ms = min(max_wait_ms, _THROTTLE_MS_MAX)
    return answer


class _Fetch:
    """A fetch request resolved against the catalog: can be looked at as often as its partitions move."""

    __slots__ = ("_by_id", "_context", "_epoch", "_request", "_session", "_wanted")

    def __init__(self, context: RequestContext, request: FetchRequest, session: FetchSession | None) -> None:
        self._context = context
        self._request = request
        self._by_id = context.version >= _TOPIC_IDS_FROM_VERSION
        self._session = session
        self._epoch = request.session_epoch
        if session is None:
            self._wanted = [
                WantedPartition(topic.topic, topic.topic_id, asked)
                for topic in request.topics
                for asked in topic.partitions
            ]
            self._resolve()
        else:
            self._wanted = list(session.partitions.values())
            changes = context.broker.catalog.changes
            if session.resolved_at != changes:
                self._resolve()
                session.resolved_at = changes

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
                try:
                    missing -= min(log.bytes_between(offset, end), wanted.asked.partition_max_bytes)
                except KafkaError:
                    # The answer tells it.
                    return True
        return missing <= 0

    def answer(self) -> FetchResponse:
        session = self._session
        if session is None:
            return self._full_answer()
        if session.epoch != self._epoch:
            # The client did not wait for this answer, and what it counts on is no longer what the session says.
            return FetchResponse(error_code=ErrorCode.INVALID_FETCH_SESSION_EPOCH)
        news: list[tuple[WantedPartition, FetchPartitionData]] = []
        for wanted, data in self._read_all(wanted for wanted in self._wanted if not self._is_idle(wanted)):
            if wanted.has_news(data):
                news.append((wanted, data))
        session.answered(wanted for wanted, _ in news)
        return FetchResponse(session_id=session.id, responses=_by_topic(news))

    def _full_answer(self) -> FetchResponse:
        answers = self._read_all(self._wanted)
        response = FetchResponse(responses=_by_topic(answers))
        if self._epoch == INITIAL_EPOCH:
            session = self._context.broker.fetch_sessions.create(self._wanted, by_id=self._by_id)
            if session is not None:
                for wanted, data in answers:
                    wanted.has_news(data)
                response.session_id = session.id
        return response

    def _read_all(self, partitions: Iterable[WantedPartition]) -> list[tuple[WantedPartition, FetchPartitionData]]:
        bytes_left = min(self._request.max_bytes, self._context.broker.config.fetch_max_bytes)
        nothing_yet = True
        answers: list[tuple[WantedPartition, FetchPartitionData]] = []
        for wanted in partitions:
            data = self._read(wanted, bytes_left, at_least_one_batch=nothing_yet)
            if isinstance(data.records, LogSlice):
                bytes_left -= data.records.size
                nothing_yet = False
            elif data.error_code:
                self._context.broker.count_error(ApiKey.FETCH, data.error_code)
            answers.append((wanted, data))
        return answers

    def _is_idle(self, wanted: WantedPartition) -> bool:
        """Whether the partition has certainly nothing to tell; looked at first, because most of them have not."""
        partition = wanted.partition
        if partition is None or wanted.told is None or wanted.error or partition.deleted:
            return False
        log = partition.log
        high_watermark = log.high_watermark
        return (
            wanted.asked.fetch_offset == log.next_offset == high_watermark
            and wanted.asked.last_fetched_epoch < 0
            and wanted.told == (high_watermark, log.last_stable_offset, log.log_start_offset)
        )

    def _resolve(self) -> None:
        catalog = self._context.broker.catalog
        by_id = self._by_id
        for wanted in self._wanted:
            topic = catalog.find_by_id(TopicId(wanted.topic_id)) if by_id else catalog.find(wanted.topic)
            wanted.partition = None
            if topic is None:
                wanted.error = ErrorCode.UNKNOWN_TOPIC_ID if by_id else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            elif not 0 <= wanted.asked.partition < len(topic.partitions):
                wanted.error = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            else:
                wanted.partition = topic.partitions[wanted.asked.partition]
                wanted.error = check_leader_epoch(wanted.partition, wanted.asked.current_leader_epoch)

    def _readable_end(self, partition: Partition) -> int:
        if self._request.isolation_level == _READ_COMMITTED:
            return partition.log.last_stable_offset
        return partition.log.high_watermark

    def _read(self, wanted: WantedPartition, bytes_left: int, *, at_least_one_batch: bool) -> FetchPartitionData:
        asked, partition = wanted.asked, wanted.partition
        if wanted.error or partition is None:
            return _refusal(asked.partition, wanted.error)
        if partition.deleted:
            gone = ErrorCode.UNKNOWN_TOPIC_ID if self._by_id else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            return _refusal(asked.partition, gone)
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
            if known.end_offset < 0:
                # Nothing is known of that epoch, so the client has to find its place by time or by the log's ends.
                return _refusal(asked.partition, ErrorCode.OFFSET_OUT_OF_RANGE)
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
            if records is not None:
                data.records = records
                partition.fetched_bytes += records.size
                if self._request.isolation_level == _READ_COMMITTED:
                    data.aborted_transactions = _aborted(partition, asked.fetch_offset, records)
        except OffsetOutOfRange:
            return _refusal(asked.partition, ErrorCode.OFFSET_OUT_OF_RANGE)
        except KafkaError as refused:
            if isinstance(data.records, LogSlice):
                data.records.release()
            return _refusal(asked.partition, refused.code)
        return data


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


def _by_topic(answers: Iterable[tuple[WantedPartition, FetchPartitionData]]) -> Sequence[FetchableTopicResponse]:
    """Neighbours of one topic come under one heading."""
    responses: list[FetchableTopicResponse] = []
    partitions: list[FetchPartitionData] = []
    previous: tuple[str, UUID] | None = None
    for wanted, data in answers:
        if previous != (wanted.topic, wanted.topic_id):
            previous = (wanted.topic, wanted.topic_id)
            partitions = []
            responses.append(
                FetchableTopicResponse(topic=wanted.topic, topic_id=wanted.topic_id, partitions=partitions)
            )
        partitions.append(data)
    return responses


def _aborted(partition: Partition, offset: int, records: LogSlice) -> list[AbortedTransaction]:
    # Perhaps a few more than these batches meet: the client passes over those that it does not reach.
    log = partition.log
    return [
        AbortedTransaction(producer_id=each.producer_id, first_offset=each.first_offset)
        for each in log.aborted_in(offset, log.last_stable_offset, records)
    ]


def _refusal(partition: int, error: ErrorCode) -> FetchPartitionData:
    is_unknown = error in (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_ID)
    return FetchPartitionData(
        partition_index=partition,
        error_code=error,
        high_watermark=-1,
        last_stable_offset=-1,
        log_start_offset=-1,
        aborted_transactions=() if is_unknown else None,
        records=b"",
    )
