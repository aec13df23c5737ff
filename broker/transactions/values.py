"""
What a transactional id stands for, and what is answered about it; free of any wire version.

A *transactional id* is the operator's name for a producer over all its incarnations. It has one *producer id* at a time
(two over its life once the epochs of the first are used up) and a *producer epoch* that every incarnation raises.
"""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from broker.errors import ErrorCode
from broker.identifiers import TopicPartition

NO_PRODUCER_ID = -1
NO_EPOCH = -1
EPOCH_MAX = 2**15 - 1
TRANSACTIONS_V1, TRANSACTIONS_V2 = 1, 2
"""What the producer speaks: v2 (KIP-890) raises the epoch with the end of each transaction."""


class TransactionState(Enum):
    """The states of a transactional id, by the names that tools print."""

    EMPTY = "Empty"
    ONGOING = "Ongoing"
    PREPARE_COMMIT = "PrepareCommit"
    PREPARE_ABORT = "PrepareAbort"
    COMPLETE_COMMIT = "CompleteCommit"
    COMPLETE_ABORT = "CompleteAbort"
    DEAD = "Dead"
    PREPARE_EPOCH_FENCE = "PrepareEpochFence"

    @property
    def is_prepared(self) -> bool:
        """Decided, and not yet told to every partition."""
        return self in (TransactionState.PREPARE_COMMIT, TransactionState.PREPARE_ABORT)

    @property
    def is_open(self) -> bool:
        """Some partition may hold records of it that are neither committed nor aborted."""
        return self is TransactionState.ONGOING or self.is_prepared


class Producer(NamedTuple):
    """An incarnation of a producer."""

    producer_id: int
    producer_epoch: int


class Transaction(NamedTuple):
    """
    A transactional id as it stands. Times are wall milliseconds, -1 where there is none.

    `last_producer_epoch` is the epoch before the last one that the coordinator raised by itself or at the producer's
    own request: a producer that repeats that request is told the present one. It is not stored.
    """

    transactional_id: str
    producer_id: int
    timeout_ms: int
    producer_epoch: int = NO_EPOCH
    last_producer_epoch: int = NO_EPOCH
    previous_producer_id: int = NO_PRODUCER_ID
    next_producer_id: int = NO_PRODUCER_ID
    state: TransactionState = TransactionState.EMPTY
    partitions: frozenset[TopicPartition] = frozenset()
    start_ms: int = -1
    update_ms: int = -1
    client_version: int = TRANSACTIONS_V1

    @property
    def producer(self) -> Producer:
        return Producer(self.producer_id, self.producer_epoch)


class ProducerResult(NamedTuple):
    """The incarnation to go on with, or why there is none."""

    error: ErrorCode
    producer_id: int = NO_PRODUCER_ID
    producer_epoch: int = NO_EPOCH


class ListFilter(NamedTuple):
    """
    Which transactional ids to list: in one of *states* (empty: any), of one of *producer_ids* (empty: any), open for
    longer than *duration_ms* (-1: any), named by *pattern* (None: any).
    """

    states: Sequence[TransactionState] = ()
    producer_ids: Sequence[int] = ()
    duration_ms: int = -1
    pattern: str | None = None
