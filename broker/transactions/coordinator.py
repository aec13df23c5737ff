"""
The transaction coordinator: all transactional ids of this broker, their log, their timeouts, and the ends under way.

End         1  the decision is stored (PrepareCommit, PrepareAbort): from here on it is carried out, whatever happens
            2  a marker goes to every partition; where the disk refuses, again and again
            3  the end is stored (CompleteCommit, CompleteAbort), and the producer is answered
            With a partition that wants its bytes on the disk (flush.before.ack) each step is synced before the next.
Begin       An incarnation is on the disk before it is answered: no epoch is given twice, whatever a crash takes
            Meanwhile the id answers CONCURRENT_TRANSACTIONS. All of it happens within one call, unless a partition
            wants its bytes on the disk first (flush.before.ack).
Restart     What was decided is carried out again; what was open stays open until its time is over. A partition that
            holds a transaction of which the log knows nothing (a loss of power took it) gets an abort marker.
Time        next_deadline() and expire(now), in monotonic seconds. A transaction older than its timeout is aborted with
            a raised epoch; an id that has rested for transactional.id.expiration.ms is forgotten.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple, assert_never

from broker.clock import Clock
from broker.config import BrokerConfig
from broker.errors import ErrorCode, KafkaError
from broker.identifiers import TopicPartition
from broker.limits import LimitLog, shortened
from broker.records import Marker
from broker.transactions import state
from broker.transactions.deadlines import Deadlines
from broker.transactions.endings import RETRY_S, Endings, nobody_waits
from broker.transactions.journal import Journal
from broker.transactions.listing import listed
from broker.transactions.log import TransactionLog
from broker.transactions.markers import Participants, marker_kind
from broker.transactions.values import (
    ListFilter,
    Producer,
    ProducerResult,
    Transaction,
    TransactionState,
)

LOG = logging.getLogger("broker.transactions")

_CLEANUP_S = 3600.0


class LoadReport(NamedTuple):
    """What the log had, and what was put right: ends carried out again, partitions freed of unknown transactions."""

    ids: int = 0
    open: int = 0
    completed: int = 0
    freed: int = 0
    unreadable: int = 0


class TransactionCoordinator:
    """Every transaction API but for the wire. One thread, plain calls."""

    def __init__(
        self,
        *,
        log: TransactionLog,
        participants: Participants,
        new_producer_id: Callable[[], int],
        clock: Clock,
        config: BrokerConfig,
    ) -> None:
        self._log = log
        self._participants = participants
        self._new_producer_id = new_producer_id
        self._clock = clock
        self._config = config
        self._journal = Journal(log, clock)
        self._deadlines = Deadlines()
        self._endings = Endings(
            log=log, participants=participants, journal=self._journal, deadlines=self._deadlines, clock=clock
        )
        self._cleanup_at = clock.monotonic() + _CLEANUP_S
        self._limits = LimitLog()

    @property
    def committed(self) -> int:
        """Transactions committed since the start."""
        return self._endings.committed

    @property
    def aborted(self) -> int:
        """Transactions aborted since the start, by their producers or by their timeouts."""
        return self._endings.aborted

    def load(self) -> LoadReport:
        """Reads the log and puts right what a crash has left; to be called once, before anything else."""
        unreadable = self._journal.load()
        now, now_ms = self._clock.monotonic(), self._clock.now_ms()
        completed = 0
        for transaction in self._journal:
            if transaction.state.is_prepared:
                completed += 1
                self._endings.carry_out(transaction, nobody_waits)
            elif transaction.state is TransactionState.ONGOING:
                # By the wall: the time that the broker was away counts. A clock that was set back must not prolong it.
                left_ms = min(transaction.start_ms + transaction.timeout_ms - now_ms, transaction.timeout_ms)
                self._deadlines.set(transaction.transactional_id, now + max(left_ms, 0) / 1000)
        return LoadReport(
            ids=len(self._journal),
            open=sum(transaction.state is TransactionState.ONGOING for transaction in self._journal),
            completed=completed,
            freed=self._free_partitions(),
            unreadable=unreadable,
        )

    # producers

    def initialise(
        self,
        transactional_id: str,
        timeout_ms: int,
        given: Producer | None,
        on_complete: Callable[[ProducerResult], None],
    ) -> None:
        """
        A producer id and epoch that fence all earlier incarnations, whose open transaction is aborted first. *given*
        is an incarnation that goes on after an error. Answers once, now or later.
        """
        if not transactional_id:
            on_complete(ProducerResult(ErrorCode.INVALID_REQUEST))
            return
        if not 0 < timeout_ms <= self._config.transaction_max_timeout_ms:
            on_complete(ProducerResult(ErrorCode.INVALID_TRANSACTION_TIMEOUT))
            return
        config = self._config
        if len(transactional_id.encode()) > config.transactional_id_max_bytes:
            self._at_limit("transactional.id.max.bytes", config.transactional_id_max_bytes, transactional_id)
            on_complete(ProducerResult(ErrorCode.INVALID_REQUEST))
            return
        if transactional_id in self._endings:
            on_complete(ProducerResult(ErrorCode.CONCURRENT_TRANSACTIONS))
            return
        now_ms = self._clock.now_ms()
        try:
            known = self._journal.transactions.get(transactional_id)
            if known is None:
                # Names come from strangers; each costs memory and a record until it expires.
                if len(self._journal) >= config.transactional_id_max_count:
                    self._at_limit("transactional.id.max.count", config.transactional_id_max_count, transactional_id)
                    on_complete(ProducerResult(ErrorCode.POLICY_VIOLATION))
                    return
                known = state.begin(transactional_id, self._new_producer_id(), timeout_ms, now_ms)
            outcome = state.initialise(
                known, timeout_ms=timeout_ms, given=given, new_producer_id=self._new_producer_id, now_ms=now_ms
            )
            match outcome:
                case ErrorCode():
                    on_complete(ProducerResult(outcome))
                case Transaction():
                    self._journal.write(outcome)
                    self._answer_when_durable(ProducerResult(ErrorCode.NONE, *outcome.producer), on_complete)
                case state.AbortFirst(aborting):

                    def aborted(error: ErrorCode) -> None:
                        if error is ErrorCode.NONE:
                            self.initialise(transactional_id, timeout_ms, given, on_complete)
                        else:
                            on_complete(ProducerResult(error))

                    self._endings.prepare(aborting, aborted)
                case _:
                    assert_never(outcome)
        except KafkaError:
            # The disk refuses: the client comes again, and nothing has changed.
            on_complete(ProducerResult(ErrorCode.COORDINATOR_NOT_AVAILABLE))

    # transactions

    def add(
        self, transactional_id: str, producer: Producer, partitions: Collection[TopicPartition], client_version: int
    ) -> ErrorCode:
        """Takes *partitions* into the producer's transaction, which begins when there is none."""
        known = self._find(transactional_id)
        if isinstance(known, ErrorCode):
            return known
        if transactional_id in self._endings:
            return ErrorCode.CONCURRENT_TRANSACTIONS
        now_ms = self._clock.now_ms()
        outcome = state.add(known, producer, partitions, client_version=client_version, now_ms=now_ms)
        if isinstance(outcome, ErrorCode):
            return outcome
        if outcome is known:
            return ErrorCode.NONE
        try:
            self._journal.write(outcome)
        except KafkaError:
            return ErrorCode.COORDINATOR_NOT_AVAILABLE
        if known.state is not TransactionState.ONGOING:
            self._deadlines.set(transactional_id, self._clock.monotonic() + outcome.timeout_ms / 1000)
        return ErrorCode.NONE

    def verify(self, transactional_id: str, producer: Producer, partition: TopicPartition) -> ErrorCode:
        """NONE when *partition* is in the producer's transaction, TRANSACTION_ABORTABLE when it is not."""
        known = self._find(transactional_id)
        return known if isinstance(known, ErrorCode) else state.verify(known, producer, partition)

    def end(
        self,
        transactional_id: str,
        producer: Producer,
        *,
        committed: bool,
        client_version: int,
        on_complete: Callable[[ProducerResult], None],
    ) -> None:
        """Commits or aborts, and answers once, now or later, with the incarnation to go on with."""
        known = self._find(transactional_id)
        if isinstance(known, ErrorCode):
            on_complete(ProducerResult(known))
            return
        try:
            outcome = state.end(
                known,
                producer,
                committed=committed,
                client_version=client_version,
                new_producer_id=self._new_producer_id,
                now_ms=self._clock.now_ms(),
            )
        except KafkaError:
            on_complete(ProducerResult(ErrorCode.COORDINATOR_NOT_AVAILABLE))
            return
        match outcome:
            case ErrorCode():
                on_complete(ProducerResult(outcome))
            case state.EndedAlready(ended):
                on_complete(ProducerResult(ErrorCode.NONE, *ended))
            case Transaction():
                going_on = state.complete(outcome, outcome.update_ms).producer

                def decided(error: ErrorCode) -> None:
                    on_complete(
                        ProducerResult(ErrorCode.NONE, *going_on) if error is ErrorCode.NONE else ProducerResult(error)
                    )

                self._endings.prepare(outcome, decided)
            case _:
                assert_never(outcome)

    # administration

    def describe(self, transactional_id: str) -> Transaction | None:
        """None for an id that nobody has initialised."""
        return self._journal.transactions.get(transactional_id)

    def states(self) -> Iterator[TransactionState]:
        """The state of each transactional id."""
        return (transaction.state for transaction in self._journal)

    def list(self, wanted: ListFilter) -> list[Transaction]:
        """Raises KafkaError INVALID_REGULAR_EXPRESSION."""
        return listed(self._journal, wanted, self._clock.now_ms())

    # time

    def next_deadline(self) -> float:
        """When `expire` has something to do next, in monotonic seconds."""
        candidates = (self._deadlines.next(), self._endings.next_deadline(), self._cleanup_at)
        return min(candidate for candidate in candidates if candidate is not None)

    def expire(self, now: float) -> None:
        """Carries out what is due at *now*: timeouts, ends that could not be carried out, ids that have expired."""
        for transactional_id in self._deadlines.due(now):
            self._time_out(transactional_id, now)
        self._endings.expire(now)
        if self._cleanup_at <= now:
            self._cleanup_at = now + _CLEANUP_S
            self._forget_expired()

    # inside

    def _at_limit(self, key: str, limit: int, transactional_id: str) -> None:
        self._limits.reached(key, limit, f"transactional id {shortened(transactional_id)}", self._clock.monotonic())

    def _find(self, transactional_id: str) -> Transaction | ErrorCode:
        if not transactional_id:
            return ErrorCode.INVALID_REQUEST
        return self._journal.transactions.get(transactional_id, ErrorCode.INVALID_PRODUCER_ID_MAPPING)

    def _answer_when_durable(self, result: ProducerResult, on_complete: Callable[[ProducerResult], None]) -> None:
        """An epoch that a loss of power took back would be given twice, and fence nobody."""

        def durable(error: ErrorCode) -> None:
            on_complete(result if error is ErrorCode.NONE else ProducerResult(ErrorCode.COORDINATOR_NOT_AVAILABLE))

        self._log.when_durable(durable)

    def _time_out(self, transactional_id: str, now: float) -> None:
        transaction = self._journal.transactions.get(transactional_id)
        if transaction is None or transaction.state is not TransactionState.ONGOING:
            return
        LOG.warning(
            "transaction timed out transactional_id=%s producer_id=%d timeout_ms=%d partitions=%d",
            transactional_id,
            transaction.producer_id,
            transaction.timeout_ms,
            len(transaction.partitions),
        )

        def decided(error: ErrorCode) -> None:
            if error is not ErrorCode.NONE:
                self._deadlines.set(transactional_id, now + RETRY_S)

        self._endings.prepare(state.abort_unasked(transaction, self._clock.now_ms()), decided)

    def _forget_expired(self) -> None:
        latest = self._clock.now_ms() - self._config.transactional_id_expiration_ms
        for transaction in self._journal:
            if state.is_at_rest(transaction) and transaction.update_ms <= latest:
                try:
                    self._journal.forget(transaction.transactional_id)
                except KafkaError:
                    # The disk is full, perhaps; in an hour it is tried again.
                    return

    def _free_partitions(self) -> int:
        """Aborts what partitions hold open and no transactional id accounts for."""
        by_producer = {
            transaction.producer_id: transaction for transaction in self._journal if transaction.state.is_open
        }
        freed = 0
        for place, producer in list(self._participants.open_transactions()):
            owner = by_producer.get(producer.producer_id)
            if owner is not None and place in owner.partitions:
                continue
            LOG.warning(
                "transaction freed partition=%s producer_id=%d reason=no transactional id has it", place, producer[0]
            )
            marker = Marker(marker_kind(committed=False), self._log.coordinator_epoch)
            self._participants.end([place], producer, marker, _ignore)
            freed += 1
        return freed


def _ignore(_failed: frozenset[TopicPartition]) -> None:
    """What the disk refuses now is found again at the next start."""
