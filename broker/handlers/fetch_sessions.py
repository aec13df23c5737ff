"""
Fetch sessions (KIP-227): the broker remembers what a client reads, and each tells the other only what has changed.

Rules
    id 0, epoch 0          a full fetch, after which a session is made when there is room; its id comes with the answer
    epoch -1               a full fetch without a session; a session that is named ends
    id N, epoch 0          the session that is named ends, and a new one is made
    id N, epoch M          incremental; M is one more than before, 1 follows 2^31-1
An incremental request adds or changes partitions and forgets others. Partitions with news in an answer go to the end
of the order, so that a small max_bytes is spent on another one next time.

Errors      FETCH_SESSION_ID_NOT_FOUND (evicted, or before a restart), INVALID_FETCH_SESSION_EPOCH,
            FETCH_SESSION_TOPIC_ID_ERROR (topics by name in a session that began with ids, or the other way round)
Eviction    at most `slots` sessions. A new one takes the place of one that was not used for two minutes, or else of the
            smallest one that is older than two minutes and smaller than itself. Without a place there is no session
Source      Kafka's FetchSession
"""

import random
from collections.abc import Iterable
from uuid import UUID

from broker.clock import Clock
from broker.errors import ErrorCode, KafkaError
from broker.topics import Partition
from broker.wire.messages.fetch import FetchPartition, FetchPartitionData, FetchRequest

NO_SESSION = 0
INITIAL_EPOCH = 0
FINAL_EPOCH = -1
EVICTION_SECONDS = 120.0

_INT32_MAX = 2**31 - 1

PartitionKey = tuple[str | UUID, int]
Told = tuple[int, int, int]


class WantedPartition:
    """
    One partition that a client reads: what was asked, what it is in the catalog, and what the client was told last.

    `told` is (high watermark, last stable offset, log start), None when the next answer has to name the partition;
    `error` says why it cannot be read.
    """

    __slots__ = ("asked", "error", "partition", "told", "topic", "topic_id")

    def __init__(self, topic: str, topic_id: UUID, asked: FetchPartition) -> None:
        self.topic = topic
        self.topic_id = topic_id
        self.asked = asked
        self.partition: Partition | None = None
        self.error = ErrorCode.NONE
        self.told: Told | None = None

    def has_news(self, data: FetchPartitionData) -> bool:
        """Whether *data* has to be in an incremental answer; it is taken as told then."""
        told = (data.high_watermark, data.last_stable_offset, data.log_start_offset)
        if data.error_code:
            # When the error goes away, the partition comes again.
            self.told = None
            return True
        if told == self.told and not data.records and data.diverging_epoch is None:
            return False
        self.told = told
        return True


class FetchSession:
    """What one client reads. `epoch` is that of the request which is served now."""

    __slots__ = ("by_id", "created", "epoch", "id", "last_used", "partitions", "resolved_at")

    def __init__(self, session_id: int, partitions: dict[PartitionKey, WantedPartition], now: float, by_id: bool):
        self.id = session_id
        self.partitions = partitions
        self.by_id = by_id
        self.epoch = INITIAL_EPOCH
        self.created = now
        self.last_used = now
        self.resolved_at = -1
        """The catalog's count of changes when the partitions were looked up; -1: they have to be."""

    def update(self, request: FetchRequest) -> None:
        """Takes in what an incremental request adds, changes and forgets."""
        for topic in request.topics:
            place: str | UUID = topic.topic_id if self.by_id else topic.topic
            for asked in topic.partitions:
                wanted = self.partitions.get((place, asked.partition))
                if wanted is None:
                    self.partitions[place, asked.partition] = WantedPartition(topic.topic, topic.topic_id, asked)
                    self.resolved_at = -1
                    continue
                if wanted.asked.current_leader_epoch != asked.current_leader_epoch:
                    self.resolved_at = -1
                wanted.asked = asked
        for forgotten in request.forgotten_topics_data:
            place = forgotten.topic_id if self.by_id else forgotten.topic
            for index in forgotten.partitions:
                self.partitions.pop((place, index), None)

    def answered(self, news: Iterable[WantedPartition]) -> None:
        """Puts the partitions that had *news* behind the others."""
        for wanted in news:
            key: PartitionKey = (wanted.topic_id if self.by_id else wanted.topic, wanted.asked.partition)
            if self.partitions.get(key) is wanted:
                del self.partitions[key]
                self.partitions[key] = wanted


class FetchSessions:
    """All sessions of the broker, the least recently used first."""

    def __init__(self, clock: Clock, slots: int) -> None:
        self._clock = clock
        self._slots = slots
        self._sessions: dict[int, FetchSession] = {}
        self.evictions = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def resume(self, request: FetchRequest, *, by_id: bool) -> FetchSession | None:
        """
        The session of an incremental request, brought up to date; None when the request is a full one.

        Raises KafkaError with the code for the whole answer.
        """
        session_id, epoch = request.session_id, request.session_epoch
        if epoch in (INITIAL_EPOCH, FINAL_EPOCH):
            if session_id != NO_SESSION:
                self._sessions.pop(session_id, None)
            return None
        session = self._sessions.get(session_id)
        if session is None:
            raise KafkaError(ErrorCode.FETCH_SESSION_ID_NOT_FOUND, f"there is no fetch session {session_id}")
        if session.by_id is not by_id:
            raise KafkaError(
                ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR,
                f"fetch session {session_id} began with topic {'ids' if session.by_id else 'names'}",
            )
        expected = 1 if session.epoch == _INT32_MAX else session.epoch + 1
        if epoch != expected:
            raise KafkaError(
                ErrorCode.INVALID_FETCH_SESSION_EPOCH,
                f"fetch session {session_id} has epoch {expected} next, {epoch} was sent",
            )
        session.epoch = epoch
        session.update(request)
        del self._sessions[session_id]
        if not session.partitions:
            # Nothing is left to remember. The client gets an empty answer without a session.
            return None
        self._sessions[session_id] = session
        session.last_used = self._clock.monotonic()
        return session

    def create(self, wanted: Iterable[WantedPartition], *, by_id: bool) -> FetchSession | None:
        """A session for partitions of which the client was just told; None when there is no room for it."""
        partitions: dict[PartitionKey, WantedPartition] = {
            (each.topic_id if by_id else each.topic, each.asked.partition): each for each in wanted
        }
        now = self._clock.monotonic()
        if len(self._sessions) >= self._slots and not self._evict(len(partitions), now):
            return None
        session_id = random.randint(1, _INT32_MAX)
        while session_id in self._sessions:
            session_id = random.randint(1, _INT32_MAX)
        session = FetchSession(session_id, partitions, now, by_id)
        self._sessions[session_id] = session
        return session

    def _evict(self, partitions: int, now: float) -> bool:
        oldest = next(iter(self._sessions.values()), None)
        if oldest is None:
            return False
        if now - oldest.last_used <= EVICTION_SECONDS:
            evictable = [each for each in self._sessions.values() if now - each.created > EVICTION_SECONDS]
            oldest = min(evictable, key=lambda each: len(each.partitions), default=None)
            if oldest is None or len(oldest.partitions) >= partitions:
                return False
        del self._sessions[oldest.id]
        self.evictions += 1
        return True
