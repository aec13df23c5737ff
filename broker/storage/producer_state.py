"""
What a partition knows of its idempotent and transactional producers, so that it stores no batch twice or out of order.

Rules, for a batch of a producer with an id
    epoch below the known one                         InvalidProducerEpoch
    (first, last sequence) among its last 5 batches   a duplicate: answered with the offsets it has already
    epoch above the known one, sequence not 0         OutOfOrderSequence
    known epoch, sequence not last + 1                OutOfOrderSequence; 0 follows 2^31-1
    producer not known (expired, or its records gone) any sequence is taken
    transaction open, batch not transactional         InvalidTransactionState
A batch of the coordinator's (sequence -1) has its epoch checked only.

Source      Kafka's ProducerStateManager and ProducerAppendInfo; KIP-98, KIP-360
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from broker.records import BatchHeader
from broker.records.header import NO_SEQUENCE, SEQUENCE_MAX, TRANSACTIONAL_BIT
from broker.storage.errors import InvalidProducerEpoch, InvalidTransactionState, OutOfOrderSequence

BATCHES_KEPT = 5


class StoredBatch(NamedTuple):
    """A batch that a producer has in the log; the timestamp (ms) is the batch's largest."""

    base_sequence: int
    last_sequence: int
    base_offset: int
    last_offset: int
    timestamp: int


@dataclass(slots=True)
class ProducerState:
    """
    One producer in one partition.

    `transaction_start` is the first offset of its open transaction, None without one; `seen_ms` the broker's time when
    it wrote last: a producer may write events of last year, and its timestamps do not say that it has gone.
    """

    producer_id: int
    producer_epoch: int
    last_timestamp: int
    seen_ms: int
    coordinator_epoch: int = -1
    transaction_start: int | None = None
    batches: deque[StoredBatch] = field(default_factory=lambda: deque[StoredBatch](maxlen=BATCHES_KEPT))

    @property
    def last_sequence(self) -> int:
        """-1 when its epoch has written nothing yet."""
        return self.batches[-1].last_sequence if self.batches else NO_SEQUENCE


class Producers:
    """The producers of one partition."""

    __slots__ = ("_ended", "_open", "_states")

    def __init__(self, states: Iterable[ProducerState] = ()) -> None:
        self._states = {state.producer_id: state for state in states}
        starts = [
            (s.transaction_start, s.producer_id) for s in self._states.values() if s.transaction_start is not None
        ]
        # Offsets only grow, so the first entry is the earliest open transaction.
        self._open = {producer_id: start for start, producer_id in sorted(starts)}
        self._ended: deque[tuple[int, int]] = deque()

    def __len__(self) -> int:
        return len(self._states)

    def states(self) -> list[ProducerState]:
        """Every known producer, by id."""
        return sorted(self._states.values(), key=lambda state: state.producer_id)

    def check(self, header: BatchHeader) -> StoredBatch | None:
        """
        Whether a batch may be appended: None when it may, the stored batch when it is a duplicate.

        Changes nothing. Raises InvalidProducerEpoch, OutOfOrderSequence, InvalidTransactionState.
        """
        state = self._states.get(header.producer_id)
        if state is None:
            return None
        producer_epoch = header.producer_epoch
        if producer_epoch < state.producer_epoch:
            raise InvalidProducerEpoch(header.producer_id, state.producer_epoch, producer_epoch)
        if state.transaction_start is not None and not header.attributes & TRANSACTIONAL_BIT:
            raise InvalidTransactionState(header.producer_id, state.transaction_start)
        base_sequence = header.base_sequence
        if base_sequence == NO_SEQUENCE:
            return None
        if producer_epoch > state.producer_epoch:
            if base_sequence != 0:
                raise OutOfOrderSequence(header.producer_id, 0, base_sequence)
            return None
        # An epoch that has written nothing yet, because a marker started it, has last sequence -1 and begins at 0.
        batches = state.batches
        expected = ((batches[-1].last_sequence if batches else NO_SEQUENCE) + 1) & SEQUENCE_MAX
        if base_sequence == expected:
            return None
        batch_last_sequence = header.last_sequence
        for stored in batches:
            if stored.base_sequence == base_sequence and stored.last_sequence == batch_last_sequence:
                return stored
        raise OutOfOrderSequence(header.producer_id, expected, base_sequence)

    def stored(self, header: BatchHeader, base_offset: int, now_ms: int) -> None:
        """Notes that a producer's batch, no marker, is in the log from *base_offset* on."""
        state = self._wrote(header, now_ms)
        base_sequence = header.base_sequence
        if base_sequence != NO_SEQUENCE:
            delta = header.last_offset_delta
            last_sequence = (base_sequence + delta) & SEQUENCE_MAX
            state.batches.append(
                StoredBatch(base_sequence, last_sequence, base_offset, base_offset + delta, header.max_timestamp)
            )
        if header.attributes & TRANSACTIONAL_BIT and state.transaction_start is None:
            state.transaction_start = self._open[header.producer_id] = base_offset

    def ended(self, header: BatchHeader, marker_offset: int, coordinator_epoch: int, now_ms: int) -> int | None:
        """
        Notes that a producer's transaction was ended by the marker at *marker_offset*; its first offset, None when the
        producer had none open here.
        """
        producer_id = header.producer_id
        state = self._wrote(header, now_ms)
        state.coordinator_epoch = coordinator_epoch
        state.transaction_start = None
        start = self._open.pop(producer_id, None)
        if start is not None:
            self._ended.append((start, marker_offset))
        return start

    def first_open_offset(self) -> int | None:
        """The first offset of the earliest transaction without a marker."""
        return next(iter(self._open.values()), None)

    def first_unstable_offset(self, high_watermark: int) -> int | None:
        """
        The first offset of the earliest transaction that is open, or whose marker lies at or behind *high_watermark*.

        None when there is no such transaction: everything below the high watermark is stable.
        """
        if not self._open and not self._ended:
            return None
        if self._ended:
            self._ended = deque(pair for pair in self._ended if pair[1] >= high_watermark)
        starts = [start for start, _ in self._ended]
        if self._open:
            starts.append(next(iter(self._open.values())))
        return min(starts) if starts else None

    def expire(self, now_ms: int, expiration_ms: int) -> None:
        """Forgets the producers that have written nothing for *expiration_ms* and have no open transaction."""
        for state in list(self._states.values()):
            if state.transaction_start is None and now_ms - state.seen_ms >= expiration_ms:
                del self._states[state.producer_id]

    def _wrote(self, header: BatchHeader, now_ms: int) -> ProducerState:
        producer_id = header.producer_id
        state = self._states.get(producer_id)
        if state is None:
            state = ProducerState(producer_id, header.producer_epoch, header.max_timestamp, now_ms)
            self._states[producer_id] = state
            return state
        if header.producer_epoch != state.producer_epoch:
            state.producer_epoch = header.producer_epoch
            state.batches.clear()
        state.last_timestamp = header.max_timestamp
        state.seen_ms = now_ms
        return state
