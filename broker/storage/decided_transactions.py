"""
Which batches belong to aborted transactions, and which markers have outlived their transactions, told while a log is
walked in offset order. All its transactions have ended.

An aborted transaction's batches go at once. A marker stays as long as the walk has met a batch of its transaction; the
walk after that finds none, and the marker has had its use.

Source      Kafka's CleanedTransactionMetadata
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from broker.records import BatchHeader, MarkerKind
from broker.storage.transaction_index import AbortedTransaction


@dataclass(slots=True)
class _Aborted:
    transaction: AbortedTransaction
    met: bool = False


class DecidedTransactions:
    """Told every batch of a walk, once; *aborted* has all that reach into it."""

    __slots__ = ("_aborted", "_committed", "_waiting")

    def __init__(self, aborted: Sequence[AbortedTransaction]) -> None:
        self._waiting = deque(sorted(aborted, key=lambda each: each.first_offset))
        self._aborted: dict[int, _Aborted] = {}
        self._committed: set[int] = set()

    def drops(self, header: BatchHeader) -> bool:
        """Whether this batch, no marker, was aborted."""
        self._begin_up_to(header.last_offset)
        if not header.is_transactional:
            return False
        aborted = self._aborted.get(header.producer_id)
        if aborted is not None and header.last_offset < aborted.transaction.last_offset:
            aborted.met = True
            return True
        self._committed.add(header.producer_id)
        return False

    def marker(self, header: BatchHeader, kind: MarkerKind) -> tuple[bool, AbortedTransaction | None]:
        """Whether a batch of the marker's transaction was met; if so, the transaction in case it was aborted."""
        self._begin_up_to(header.last_offset)
        aborted = self._aborted.pop(header.producer_id, None)
        if kind is MarkerKind.ABORT:
            return (True, aborted.transaction) if aborted is not None and aborted.met else (False, None)
        met = header.producer_id in self._committed
        self._committed.discard(header.producer_id)
        return met, None

    def _begin_up_to(self, offset: int) -> None:
        while self._waiting and self._waiting[0].first_offset <= offset:
            transaction = self._waiting.popleft()
            self._aborted[transaction.producer_id] = _Aborted(transaction)
