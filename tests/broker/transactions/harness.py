"""A coordinator under a manual clock, on a log in memory, with partitions that remember what they were told."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from broker.clock import ManualClock
from broker.config import BrokerConfig
from broker.errors import ErrorCode, KafkaError
from broker.identifiers import TopicPartition
from broker.records import Marker, MarkerKind, NewRecord, Record
from broker.transactions import (
    TRANSACTIONS_V1,
    TRANSACTIONS_V2,
    LoadReport,
    Producer,
    ProducerResult,
    TransactionCoordinator,
)

TIMEOUT_MS = 60_000
P0, P1 = TopicPartition("orders", 0), TopicPartition("orders", 1)


class MemoryLog:
    """The port, in memory; refuses on request, and keeps what a restart would find."""

    def __init__(self) -> None:
        self.records: list[NewRecord] = []
        self.start_offset = 0
        self.coordinator_epoch = 0
        self.refuses = False
        self.appends_left: int | None = None
        self.holds_durability = False
        self.waiting: list[Callable[[ErrorCode], None]] = []

    @property
    def end_offset(self) -> int:
        return self.start_offset + len(self.records)

    def append(self, records: Sequence[NewRecord], timestamp_ms: int) -> int:
        if self.refuses or self.appends_left == 0:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no space left on device")
        if self.appends_left is not None:
            self.appends_left -= 1
        base = self.end_offset
        self.records.extend(records)
        return base

    def replay(self) -> Iterator[Record]:
        for offset, record in enumerate(list(self.records), self.start_offset):
            yield Record(offset, 0, record.key, record.value, ())

    def discard_before(self, offset: int) -> None:
        del self.records[: offset - self.start_offset]
        self.start_offset = offset

    def when_durable(self, told: Callable[[ErrorCode], None]) -> None:
        if self.holds_durability:
            self.waiting.append(told)
        else:
            told(ErrorCode.NONE)

    def sync(self, error: ErrorCode = ErrorCode.NONE) -> None:
        """Answers everybody who waits for the disk."""
        waiting, self.waiting = self.waiting, []
        for told in waiting:
            told(error)


class Partitions:
    """What each partition has: (producer, marker) in order. `open` says which transactions partitions hold open."""

    def __init__(self) -> None:
        self.markers: dict[TopicPartition, list[tuple[Producer, MarkerKind]]] = {}
        self.open: dict[TopicPartition, Producer] = {}
        self.failing: set[TopicPartition] = set()
        self.durable: set[TopicPartition] = set()
        self.tries = 0

    def want_durability(self, partitions: Iterable[TopicPartition]) -> bool:
        return not self.durable.isdisjoint(partitions)

    def end(
        self,
        partitions: Iterable[TopicPartition],
        producer: Producer,
        marker: Marker,
        told: Callable[[frozenset[TopicPartition]], None],
    ) -> None:
        self.tries += 1
        failed: set[TopicPartition] = set()
        for partition in partitions:
            if partition in self.failing:
                failed.add(partition)
            else:
                self.markers.setdefault(partition, []).append((producer, marker.kind))
                self.open.pop(partition, None)
        told(frozenset(failed))

    def open_transactions(self) -> Iterator[tuple[TopicPartition, Producer]]:
        return iter(self.open.items())

    def kinds(self, partition: TopicPartition) -> list[MarkerKind]:
        return [kind for _, kind in self.markers.get(partition, [])]


class World:
    """Time, log, partitions and coordinator; `restart` starts a coordinator anew from what the log has."""

    def __init__(self, **settings: str) -> None:
        self.clock = ManualClock()
        self.log = MemoryLog()
        self.partitions = Partitions()
        self.config = BrokerConfig.parse({key.replace("_", "."): value for key, value in settings.items()})
        self._next_producer_id = 100
        self.loaded = LoadReport()
        self.restart()

    def restart(self) -> None:
        self.coordinator = TransactionCoordinator(
            log=self.log,
            participants=self.partitions,
            new_producer_id=self._new_producer_id,
            clock=self.clock,
            config=self.config,
        )
        self.loaded = self.coordinator.load()

    def advance(self, milliseconds: int) -> None:
        """Lets time pass, with every deadline kept at its own moment."""
        end = self.clock.monotonic() + milliseconds / 1000
        while (deadline := self.coordinator.next_deadline()) <= end:
            self.clock.advance_ms(max(0, round((deadline - self.clock.monotonic()) * 1000)))
            # Sums of fractions of a second: the clock may stand a rounding error before the deadline.
            self.coordinator.expire(max(deadline, self.clock.monotonic()))
        self.clock.advance_ms(max(0, round((end - self.clock.monotonic()) * 1000)))

    def state(self, transactional_id: str = "tx") -> str:
        found = self.coordinator.describe(transactional_id)
        return "none" if found is None else found.state.value

    def init(
        self, transactional_id: str = "tx", *, timeout_ms: int = TIMEOUT_MS, given: Producer | None = None
    ) -> ProducerResult:
        answers: list[ProducerResult] = []
        self.coordinator.initialise(transactional_id, timeout_ms, given, answers.append)
        assert len(answers) == 1
        return answers[0]

    def producer(self, transactional_id: str = "tx", *, v2: bool = False) -> "Client":
        """An initialised producer."""
        return Client(self, transactional_id, v2=v2).init()

    def _new_producer_id(self) -> int:
        if self.log.refuses:
            raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, "no space left on device")
        self._next_producer_id += 1
        return self._next_producer_id


class Client:
    """A transactional producer: sends what one sends, keeps what it is told to go on with."""

    def __init__(self, world: World, transactional_id: str, *, v2: bool) -> None:
        self.world = world
        self.transactional_id = transactional_id
        self.version = TRANSACTIONS_V2 if v2 else TRANSACTIONS_V1
        self.me = Producer(-1, -1)
        self.answers: list[ProducerResult] = []

    def init(self) -> "Client":
        result = self.world.init(self.transactional_id)
        assert result.error is ErrorCode.NONE
        self.me = Producer(result.producer_id, result.producer_epoch)
        return self

    def add(self, *partitions: TopicPartition) -> ErrorCode:
        return self.world.coordinator.add(self.transactional_id, self.me, partitions or (P0,), self.version)

    def send_end(self, *, committed: bool, me: Producer | None = None) -> None:
        """Ends without waiting for the answer, which `answers` gets."""
        self.world.coordinator.end(
            self.transactional_id,
            me or self.me,
            committed=committed,
            client_version=self.version,
            on_complete=self.answers.append,
        )

    def end(self, *, committed: bool, me: Producer | None = None) -> ErrorCode:
        before = len(self.answers)
        self.send_end(committed=committed, me=me)
        assert len(self.answers) == before + 1
        result = self.answers[-1]
        if result.error is ErrorCode.NONE:
            self.me = Producer(result.producer_id, result.producer_epoch)
        return result.error

    def commit(self) -> ErrorCode:
        return self.end(committed=True)

    def abort(self) -> ErrorCode:
        return self.end(committed=False)
