"""
The ends of transactions that are under way: the decision, the markers, the end; see coordinator.py for the steps.

Time    next_deadline() and expire(now): where a disk refused a marker or the end, it is tried again.
"""

import logging
from collections.abc import Callable

from broker.clock import Clock
from broker.errors import ErrorCode, KafkaError
from broker.identifiers import TopicPartition
from broker.records import Marker
from broker.transactions import state
from broker.transactions.deadlines import Deadlines
from broker.transactions.journal import Journal
from broker.transactions.log import TransactionLog
from broker.transactions.markers import Participants, marker_kind
from broker.transactions.values import Transaction, TransactionState

LOG = logging.getLogger("broker.transactions")

RETRY_S = 0.5
_RETRY_S_MAX = 30.0


class Endings:
    """Carries decisions out, whatever happens, and tells the producer once."""

    def __init__(
        self, *, log: TransactionLog, participants: Participants, journal: Journal, deadlines: Deadlines, clock: Clock
    ) -> None:
        self._log = log
        self._participants = participants
        self._journal = journal
        self._deadlines = deadlines
        self._clock = clock
        self._ending: set[str] = set()
        """Ids whose end is under way in this very moment; a prepared one that is not here is waiting for its retry."""
        self._retries: dict[str, frozenset[TopicPartition]] = {}
        self._retry_at: float | None = None
        self._retry_s = RETRY_S
        """Doubles while a disk goes on refusing, so that the log says so once in a while and not twice a second."""
        self.committed = 0
        self.aborted = 0
        """Transactions ended since the start."""

    def __contains__(self, transactional_id: str) -> bool:
        """Whether its end is under way in this very moment."""
        return transactional_id in self._ending

    def next_deadline(self) -> float | None:
        """When something is to be tried again, in monotonic seconds."""
        return self._retry_at

    def expire(self, now: float) -> None:
        """Tries again what could not be carried out, if it is time."""
        if self._retry_at is None or self._retry_at > now:
            return
        self._retry_at = None
        self._retry_s = min(2 * self._retry_s, _RETRY_S_MAX)
        retries, self._retries = self._retries, {}
        for transactional_id, partitions in retries.items():
            self._write_markers(self._journal.transactions[transactional_id], partitions, nobody_waits)
        if not self._retries:
            self._retry_s = RETRY_S

    def prepare(self, prepared: Transaction, decided: Callable[[ErrorCode], None]) -> None:
        """Stores the decision and carries it out; *decided* learns when the producer may go on, or why not."""
        try:
            self._journal.write(prepared)
        except KafkaError:
            decided(ErrorCode.COORDINATOR_NOT_AVAILABLE)
            return
        self._deadlines.clear(prepared.transactional_id)
        self.carry_out(prepared, decided)

    def carry_out(self, prepared: Transaction, decided: Callable[[ErrorCode], None]) -> None:
        self._ending.add(prepared.transactional_id)
        if not self._participants.want_durability(prepared.partitions):
            self._write_markers(prepared, prepared.partitions, decided)
            return

        def durable(error: ErrorCode) -> None:
            if error is ErrorCode.NONE:
                self._write_markers(prepared, prepared.partitions, decided)
            else:
                # Nobody knows what the disk has; the next start reads it and carries out what it finds.
                decided(ErrorCode.COORDINATOR_NOT_AVAILABLE)

        self._log.when_durable(durable)

    def _write_markers(
        self, prepared: Transaction, partitions: frozenset[TopicPartition], decided: Callable[[ErrorCode], None]
    ) -> None:
        self._ending.add(prepared.transactional_id)
        committed = prepared.state is TransactionState.PREPARE_COMMIT
        marker = Marker(marker_kind(committed=committed), self._log.coordinator_epoch)

        def written(failed: frozenset[TopicPartition]) -> None:
            if failed or not self._complete(prepared):
                self._retries[prepared.transactional_id] = failed
                self._retry_at = self._clock.monotonic() + self._retry_s
            elif self._participants.want_durability(partitions):
                # A decision that came back without its end would be carried out on the producer's next transaction.
                self._log.when_durable(noted)
                return
            noted(ErrorCode.NONE)

        def noted(_error: ErrorCode) -> None:
            self._ending.discard(prepared.transactional_id)
            # Decided is decided: the producer need not know that a disk is full somewhere.
            decided(ErrorCode.NONE)

        self._participants.end(partitions, prepared.producer, marker, written)

    def _complete(self, prepared: Transaction) -> bool:
        try:
            self._journal.write(state.complete(prepared, self._clock.now_ms()))
        except KafkaError as refused:
            LOG.error("end not stored transactional_id=%s reason=%s", prepared.transactional_id, refused)
            return False
        if prepared.state is TransactionState.PREPARE_COMMIT:
            self.committed += 1
        else:
            self.aborted += 1
        return True


def nobody_waits(_error: ErrorCode) -> None:
    """The producer has its answer, or there is none."""
