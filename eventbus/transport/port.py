"""
What the rest of eventbus asks of a log: the port that every transport keeps.

Topics hold partitions, a partition holds records under ascending offsets; gaps in the offsets are normal. Nothing here
knows messages, handlers or databases. The promises stand at the methods; `eventbus.testing.contracts.transport` holds
every implementation to them.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol, cast

from eventbus.errors import BrokerUnavailable, EventBusError, PublishRefused

# The end of the year 9999, which is as far as a datetime goes.
_TIMESTAMP_MS_MAX: Final = 253_402_300_799_000


def time_of(timestamp_ms: int) -> datetime:
    """
    A record's timestamp as a time. It is the sender's, and may be any of 64 bits: one before 1970 (-1 is none at all)
    counts as 1970, one behind the year 9999 as its end.
    """
    return datetime.fromtimestamp(min(max(0, timestamp_ms), _TIMESTAMP_MS_MAX) / 1000, UTC)


class TopicPartition(NamedTuple):
    """One partition of a topic, by its name and number."""

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """
    A record to be written. The key alone decides its partition (murmur2; without a key: any partition).

    headers   text is written as UTF-8
    """

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, str | bytes]]


@dataclass(slots=True)
class IncomingRecord:
    """A record as it was read. Not frozen, because a frozen one costs 1 µs more, a record; treat it as if it were."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    kept_headers: dict[str, bytes | None] | Collection[tuple[str, bytes | None]]
    """A map, unless a name is there twice: it is what readers want, and the garbage collector passes it by."""
    timestamp_ms: int

    @property
    def headers(self) -> Collection[tuple[str, bytes | None]]:
        """In their order; a name may be there twice."""
        kept = self.kept_headers
        if type(self.kept_headers) is dict:
            return cast("dict[str, bytes | None]", kept).items()
        return cast("Collection[tuple[str, bytes | None]]", kept)

    @property
    def header_map(self) -> dict[str, bytes | None]:
        """The last of each name; not to be changed."""
        kept = self.kept_headers
        if type(self.kept_headers) is dict:
            return cast("dict[str, bytes | None]", kept)
        return dict(self.headers)

    @property
    def written_at(self) -> datetime:
        """What its timestamp says."""
        return time_of(self.timestamp_ms)


@dataclass(frozen=True, slots=True)
class Published:
    """Where the log keeps a record that was written."""

    topic: str
    partition: int
    offset: int


PublishOutcome = Published | PublishRefused | BrokerUnavailable


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The offsets that a partition holds: `start` is the first one, `end` the one that the next record will get."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic's identity (it changes when the topic is deleted and created again) and its partitions by number."""

    topic_id: str
    partitions: tuple[OffsetRange, ...]


@dataclass(frozen=True, slots=True)
class LogDescription:
    """The cluster's identity and, of the topics asked for, those that exist."""

    cluster_id: str
    topics: Mapping[str, TopicDescription]


@dataclass(frozen=True, slots=True)
class PartitionBatch:
    """
    Records of one partition in offset order, and the reader's position behind them.

    `next_offset` is where reading goes on: past the last record, and past what is no record (the marker of a
    transaction). So there are batches without records whose `next_offset` moves on all the same.
    `reading` is the number of the `RecordConsumer.read_from` that began it: what came by an earlier one is void.
    """

    topic: str
    partition: int
    records: Sequence[IncomingRecord]
    next_offset: int
    reading: int = 0


@dataclass(frozen=True, slots=True)
class Round:
    """
    What one round of polling brought: things of the group first, then records.

    assigned    the partitions that are this member's now, all of them; None: as before
    doubtful    the connection was lost or the log answered strangely before these records were read: make sure that
                it is still the same log (`describe`) before using them
    """

    assigned: frozenset[TopicPartition] | None
    doubtful: bool
    batches: Sequence[PartitionBatch]


class ConsumerStopped(EventBusError):
    """The group refuses this member for good, such as when another one has taken its instance id."""


class ProducerFenced(EventBusError):
    """Another producer has taken the transactional id over, or the log has given this one up: it writes no more."""


class TransactionsRefused(EventBusError):
    """The log does not let this client use the transactional id. The text names the id and the way out."""


class RecordProducer(Protocol):
    """Writes records. One producer serves any number of tasks."""

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[PublishOutcome]:
        """
        Writes *records* and answers their outcomes in the same order, when all are decided.

        Every `Published` record is in the log once and stays there (acks=all, idempotent). Records of one key are
        written in the order of the calls and within a call. While the broker is away it waits, however long: a record
        that were given up on could appear behind a later one of its key. Cancelling gives up: then the outcome of
        this and every concurrent call is open. `BrokerUnavailable`: given up by that or by `aclose`.
        """
        ...

    async def aclose(self) -> None:
        """Gives up what is not yet written, and ends its thread."""
        ...


class TransactionalProducer(Protocol):
    """Writes batches, each as one transaction of the log, under a transactional id. One task uses it."""

    async def take_over(self) -> None:
        """
        Makes this the only producer of its transactional id: what another has not committed is aborted, and it never
        writes again (ProducerFenced). To be called before the first `publish`, and again after ProducerFenced.

        Waits while the broker is away, BrokerUnavailable when given up by `aclose`. Raises TransactionsRefused.
        """
        ...

    async def publish(self, records: Sequence[OutgoingRecord]) -> list[PublishOutcome]:
        """
        Writes *records* in one transaction and answers their outcomes in the same order when it is committed.

        Every `Published` record is committed. A record that is refused is left out, with the later ones of its key and
        those that the log refuses along with it; the others are written all the same. Records of one key keep their
        order. `BrokerUnavailable`: whether the record is in the log is open until the next `take_over`.

        Raises ProducerFenced, which leaves open in the same way what became of the transaction. Cancelling gives up.
        """
        ...

    async def aclose(self) -> None:
        """Gives up what is not committed, and ends its thread."""
        ...


class RecordConsumer(Protocol):
    """A member of a consumer group. Nothing is read of an assigned partition until `read_from` says where."""

    async def receive(self, *, records: bool = True) -> Round:
        """
        The next round, when there is something; with *records* false only things of the group, for a second at most.

        Raises ConsumerStopped when this member cannot go on, with words for the operator. Cancelling it loses
        nothing: the next call answers the round that was under way.
        """
        ...

    def read_from(self, offsets: Mapping[TopicPartition, int]) -> int:
        """
        Begins to read these of the assigned partitions, from these offsets; the others go on as they were.

        Answers the number that their batches bear from now on; it grows with every call.
        """
        ...

    def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Stores the group's next offsets, soon and without an answer: they are for consoles and lag monitors."""
        ...

    async def aclose(self) -> None:
        """Stores what was committed, leaves the group (a static member: when its session ends), ends its thread."""
        ...


class RecordReader(Protocol):
    """Reads chosen partitions from chosen offsets without a group."""

    async def read(self, *, records_max: int = 1000, seconds: float = 1.0) -> list[PartitionBatch]:
        """
        What comes next, *records_max* records at most; an empty list when *seconds* brought nothing.

        At most one batch a partition; a batch without records tells that the reader's position has moved on.
        Raises ForeignLog when an offset is not in the log (any more). Waits through an absence of the broker.
        """
        ...

    async def aclose(self) -> None:
        """Ends its thread."""
        ...


Revoked = Callable[[frozenset[TopicPartition]], Awaitable[None]]
"""Called on the event loop before partitions are given up: finish or abandon what is in flight on them, then return."""


class Transport(Protocol):
    """A connection to one log. `start` does not wait for the broker: each call does, as far as it says."""

    async def start(self) -> None:
        """Makes ready, without waiting for the broker. Raises InvalidConfiguration for options it does not know."""
        ...

    async def aclose(self) -> None:
        """Closes what it has made; no thread of it is left."""
        ...

    @property
    def away_seconds(self) -> float | None:
        """How long the broker has been away; None when it answers, as far as is known."""
        ...

    async def ensure_topics(self, topics: Mapping[str, int]) -> None:
        """
        Creates the topics that are missing, with that many partitions, never expiring.

        A topic that has another number of partitions stays as it is, with one warning. Waits for the broker.
        """
        ...

    async def describe(self, topics: Sequence[str]) -> LogDescription:
        """Identity and offset ranges, read at this moment. Raises BrokerUnavailable within seconds."""
        ...

    def producer(self) -> RecordProducer:
        """A new producer, which begins to connect. To be called on the event loop."""
        ...

    def transactional_producer(self, transactional_id: str) -> TransactionalProducer:
        """A new producer for that transactional id, which connects when it takes over."""
        ...

    def consumer(
        self, group_id: str, topics: Sequence[str], *, instance_id: str | None, revoked: Revoked
    ) -> RecordConsumer:
        """A new member of *group_id*; a static one with an *instance_id* (unique among the members that live)."""
        ...

    def reader(self, offsets: Mapping[TopicPartition, int]) -> RecordReader:
        """A reader of these partitions from these offsets."""
        ...
