"""
The life of a transactional id as pure functions: a Transaction and a request go in, the next Transaction, or the error
to answer, comes out. No I/O, no clock.

    Empty ── partitions or a group added ──> Ongoing ── end ──> PrepareCommit / PrepareAbort
      ^                                         ^                          │
      │ initialise                              │ added                    │ a marker in every partition
      └─────────────────────────────────── CompleteCommit / CompleteAbort <┘
    Empty, Complete… ── silent for transactional.id.expiration.ms ──> forgotten

- What is prepared is decided: it is stored, completed after a crash as well, and never taken back.
- Epochs fence. A new incarnation has a higher one (InitProducerId); so has the id after a transaction that the
  coordinator aborted by itself, because it took too long or because its successor came.
- Transactions v2 (KIP-890): every end raises the epoch, and its markers carry the raised one. So a retried end, or a
  late batch, can be told from the next transaction's. With v1 it cannot: there the client sends one at a time.
- An id whose epochs are used up gets another producer id, at its next initialisation or (v2) at its next end.

Source  Kafka 4.3's TransactionMetadata and TransactionCoordinator; KIP-98, KIP-360, KIP-588, KIP-890
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

from broker.errors import ErrorCode
from broker.identifiers import TopicPartition
from broker.transactions.values import (
    EPOCH_MAX,
    NO_EPOCH,
    NO_PRODUCER_ID,
    TRANSACTIONS_V1,
    TRANSACTIONS_V2,
    Producer,
    Transaction,
    TransactionState,
)

# The last epoch is kept for the coordinator: it must be able to fence a producer that holds the one before.
_EPOCH_EXHAUSTED = EPOCH_MAX - 1
_AT_REST = (TransactionState.EMPTY, TransactionState.COMPLETE_COMMIT, TransactionState.COMPLETE_ABORT)


class AbortFirst(NamedTuple):
    """The id has a transaction under way, which `aborting` ends; after that the request can be looked at again."""

    aborting: Transaction


class EndedAlready(NamedTuple):
    """A repeated end: the transaction was ended in this way before, and this is the producer to go on with."""

    producer: Producer


def initialise(
    transaction: Transaction,
    *,
    timeout_ms: int,
    given: Producer | None,
    new_producer_id: Callable[[], int],
    now_ms: int,
) -> Transaction | AbortFirst | ErrorCode:
    """
    A new incarnation, or with *given* one that goes on after an error (KIP-360). *new_producer_id* is called when the
    epochs of the present id are used up.
    """
    if transaction.state.is_prepared:
        return ErrorCode.CONCURRENT_TRANSACTIONS
    if given is not None and not _may_go_on(transaction, given):
        return ErrorCode.PRODUCER_FENCED
    if transaction.state is TransactionState.ONGOING:
        return AbortFirst(abort_unasked(transaction, now_ms))
    rested = transaction._replace(
        state=TransactionState.EMPTY,
        timeout_ms=timeout_ms,
        partitions=frozenset(),
        start_ms=-1,
        update_ms=now_ms,
    )
    present = transaction.producer_epoch
    if present >= _EPOCH_EXHAUSTED:
        return rested._replace(
            producer_id=new_producer_id(),
            producer_epoch=0,
            previous_producer_id=transaction.producer_id,
            last_producer_epoch=NO_EPOCH if given is None else present,
        )
    if given is not None and present not in (NO_EPOCH, given.producer_epoch):
        # Its epoch was raised already: for this very request, whose answer was lost, or by an abort of ours.
        return rested
    return rested._replace(
        producer_epoch=present + 1,
        last_producer_epoch=NO_EPOCH if given is None else present,
    )


def add(
    transaction: Transaction,
    producer: Producer,
    partitions: Collection[TopicPartition],
    *,
    client_version: int,
    now_ms: int,
) -> Transaction | ErrorCode:
    """The transaction with *partitions* in it, begun when there was none; the same object when they were in it."""
    error = _refuse(transaction, producer)
    if error is not ErrorCode.NONE:
        return error
    if transaction.state.is_prepared:
        return ErrorCode.CONCURRENT_TRANSACTIONS
    if transaction.state is TransactionState.ONGOING:
        if transaction.partitions.issuperset(partitions):
            return transaction
        return transaction._replace(partitions=transaction.partitions.union(partitions), update_ms=now_ms)
    return transaction._replace(
        state=TransactionState.ONGOING,
        partitions=frozenset(partitions),
        start_ms=now_ms,
        update_ms=now_ms,
        client_version=client_version,
    )


def verify(transaction: Transaction, producer: Producer, partition: TopicPartition) -> ErrorCode:
    """NONE when *partition* is in the producer's transaction, TRANSACTION_ABORTABLE when it is not."""
    error = _refuse(transaction, producer)
    if error is not ErrorCode.NONE:
        return error
    if transaction.state.is_prepared:
        return ErrorCode.CONCURRENT_TRANSACTIONS
    in_it = transaction.state is TransactionState.ONGOING and partition in transaction.partitions
    return ErrorCode.NONE if in_it else ErrorCode.TRANSACTION_ABORTABLE


def end(
    transaction: Transaction,
    producer: Producer,
    *,
    committed: bool,
    client_version: int,
    new_producer_id: Callable[[], int],
    now_ms: int,
) -> Transaction | EndedAlready | ErrorCode:
    """The prepared end of the producer's transaction. *new_producer_id* is called when v2 runs out of epochs."""
    v2 = client_version >= TRANSACTIONS_V2
    repeated = v2 and _has_ended(transaction, producer)
    if not repeated:
        error = _refuse(transaction, producer)
        if error is not ErrorCode.NONE:
            return error
    prepared, complete = (
        (TransactionState.PREPARE_COMMIT, TransactionState.COMPLETE_COMMIT)
        if committed
        else (TransactionState.PREPARE_ABORT, TransactionState.COMPLETE_ABORT)
    )
    state = transaction.state
    if state.is_prepared:
        return ErrorCode.CONCURRENT_TRANSACTIONS if state is prepared else ErrorCode.INVALID_TXN_STATE
    if state is complete and (repeated or not v2):
        return EndedAlready(transaction.producer)
    if state is not TransactionState.ONGOING and (repeated or committed or not v2):
        return ErrorCode.INVALID_TXN_STATE
    # From here on: a transaction under way, or v2's abort of one that no partition has heard of.
    ended = transaction._replace(
        state=prepared,
        partitions=transaction.partitions if state is TransactionState.ONGOING else frozenset(),
        start_ms=transaction.start_ms if state is TransactionState.ONGOING else now_ms,
        update_ms=now_ms,
        client_version=client_version,
    )
    if not v2:
        return ended
    exhausted = transaction.producer_epoch >= _EPOCH_EXHAUSTED
    return ended._replace(
        producer_epoch=transaction.producer_epoch + 1,
        last_producer_epoch=transaction.producer_epoch,
        next_producer_id=new_producer_id() if exhausted else NO_PRODUCER_ID,
    )


def abort_unasked(transaction: Transaction, now_ms: int) -> Transaction:
    """
    The prepared abort of an open transaction whose producer did not ask for it; the raised epoch fences it.

    With v2 by two: one more is what the producer's own end would make, and its end must not pass for a repeated one.
    """
    step = 2 if transaction.client_version >= TRANSACTIONS_V2 else 1
    return transaction._replace(
        state=TransactionState.PREPARE_ABORT,
        producer_epoch=min(transaction.producer_epoch + step, EPOCH_MAX),
        last_producer_epoch=transaction.producer_epoch,
        update_ms=now_ms,
    )


def complete(transaction: Transaction, now_ms: int) -> Transaction:
    """A prepared transaction when every partition has its marker."""
    done = transaction._replace(
        state=(
            TransactionState.COMPLETE_COMMIT
            if transaction.state is TransactionState.PREPARE_COMMIT
            else TransactionState.COMPLETE_ABORT
        ),
        partitions=frozenset(),
        update_ms=now_ms,
    )
    if transaction.next_producer_id == NO_PRODUCER_ID:
        return done
    return done._replace(
        producer_id=transaction.next_producer_id,
        producer_epoch=0,
        previous_producer_id=transaction.producer_id,
        next_producer_id=NO_PRODUCER_ID,
    )


def begin(transactional_id: str, producer_id: int, timeout_ms: int, now_ms: int) -> Transaction:
    """An id that nobody has used yet; initialise() gives it its first epoch, 0."""
    return Transaction(
        transactional_id=transactional_id,
        producer_id=producer_id,
        timeout_ms=timeout_ms,
        update_ms=now_ms,
        client_version=TRANSACTIONS_V1,
    )


def is_at_rest(transaction: Transaction) -> bool:
    """Whether nothing of the id is under way, so that it may be forgotten."""
    return transaction.state in _AT_REST


def _refuse(transaction: Transaction, producer: Producer) -> ErrorCode:
    if transaction.producer_id != producer.producer_id:
        return ErrorCode.INVALID_PRODUCER_ID_MAPPING
    if transaction.producer_epoch != producer.producer_epoch or transaction.producer_epoch == EPOCH_MAX:
        # Nobody is ever given the highest epoch: it is there to fence the one before.
        return ErrorCode.PRODUCER_FENCED
    return ErrorCode.NONE


def _may_go_on(transaction: Transaction, given: Producer) -> bool:
    """Whether *given* is the incarnation that this id last had, or the one before that was raised for it."""
    if transaction.producer_epoch == NO_EPOCH:
        return True
    if given.producer_id == transaction.producer_id:
        return given.producer_epoch in (transaction.producer_epoch, transaction.last_producer_epoch)
    return (
        given.producer_id == transaction.previous_producer_id
        and given.producer_epoch >= _EPOCH_EXHAUSTED
        and transaction.producer_epoch == 0
    )


def _has_ended(transaction: Transaction, producer: Producer) -> bool:
    """Whether *producer* is what the id had before its last end raised the epoch (v2), and nothing has come since."""
    if transaction.state in (TransactionState.ONGOING, TransactionState.EMPTY):
        return False
    if transaction.client_version < TRANSACTIONS_V2:
        # A v1 end raises no epoch: the one before the present one belongs to a fenced incarnation.
        return False
    if transaction.producer_id == producer.producer_id:
        rotates = transaction.next_producer_id != NO_PRODUCER_ID
        return transaction.producer_epoch == producer.producer_epoch + 1 and (
            transaction.producer_epoch < EPOCH_MAX or rotates
        )
    return (
        transaction.previous_producer_id == producer.producer_id
        and producer.producer_epoch == _EPOCH_EXHAUSTED
        and transaction.producer_epoch == 0
    )
