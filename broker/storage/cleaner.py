"""
What stays of each batch when a log is compacted.

    record            stays when it is the newest of its key below the pass's end, or lies behind that end
    tombstone         stays as well, until its batch's delete horizon: set to now + delete.retention.ms by the first
                      pass that meets it, so whoever reads the log within that time learns of the deletion
    aborted record    goes
    marker            stays while its transaction has batches; then until its delete horizon
    record without a key   goes (it is older than the topic's cleanup.policy)
    batch without records  stays, as a header, when it is the last of a known producer, whose sequence it tells
Source      Kafka's Cleaner
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from broker.records import (
    BatchHeader,
    PackedRecord,
    RecordBatch,
    batch_of_survivors,
    packed_records,
    parse_marker,
)
from broker.storage.decided_transactions import DecidedTransactions
from broker.storage.files import Bytes
from broker.storage.offset_map import OffsetMap
from broker.storage.producer_state import ProducerState
from broker.storage.transaction_index import AbortedTransaction


class LastOfProducer(NamedTuple):
    """What must stay of a producer: the batch that ends at `data_offset` or, with none, its epoch's last marker."""

    producer_epoch: int
    data_offset: int | None


def last_of_producers(states: Sequence[ProducerState]) -> dict[int, LastOfProducer]:
    """By producer id."""
    return {
        state.producer_id: LastOfProducer(
            state.producer_epoch, state.batches[-1].last_offset if state.batches else None
        )
        for state in states
    }


class Kept(NamedTuple):
    """A batch as it stays, and the aborted transaction that its marker ended and readers must still be told of."""

    data: Bytes
    aborted: AbortedTransaction | None = None


class Cleaner:
    """The rules of one pass over a log, which hands it every batch in offset order."""

    def __init__(
        self,
        newest: OffsetMap,
        end: int,
        aborted: Sequence[AbortedTransaction],
        producers: Mapping[int, LastOfProducer],
        *,
        now_ms: int,
        delete_retention_ms: int,
    ) -> None:
        self.records_dropped = 0
        self._newest = newest
        self._end = end
        self._transactions = DecidedTransactions(aborted)
        self._producers = producers
        self._now_ms = now_ms
        self._delete_retention_ms = delete_retention_ms

    def clean(self, batch: RecordBatch, pause: Callable[[], None]) -> Kept | None:
        """
        The batch as it stays, None when nothing does; *pause* is called for every record.

        Raises CorruptBatch, UndecodableRecords, CompressionUnavailable.
        """
        header = batch.header
        survivors: list[PackedRecord] = []
        if header.is_control:
            return self._clean_marker(batch)
        if not self._transactions.drops(header):
            if header.base_offset >= self._end:
                return Kept(batch.data)
            for record in packed_records(batch):
                pause()
                if self._stays(record, header):
                    survivors.append(record)
        self.records_dropped += header.record_count - len(survivors)
        if not survivors:
            return self._without_records(batch) if self._is_last(header) else None
        if header.delete_horizon_ms is None and any(
            record.is_tombstone and record.offset < self._end for record in survivors
        ):
            return Kept(batch_of_survivors(header, survivors, self._now_ms + self._delete_retention_ms))
        if len(survivors) == header.record_count:
            return Kept(batch.data)
        return Kept(batch_of_survivors(header, survivors))

    def keep_place(self, batch: RecordBatch) -> Kept:
        """What stays of a segment's last batch when nothing else of the segment does: a header, a marker whole."""
        return Kept(batch.data) if batch.header.is_control else self._without_records(batch)

    def _clean_marker(self, batch: RecordBatch) -> Kept | None:
        header = batch.header
        record = next(batch.records(), None)
        if record is None:
            return Kept(batch.data) if self._is_last(header) else None
        met, aborted = self._transactions.marker(header, parse_marker(record).kind)
        if met or header.base_offset >= self._end:
            return Kept(batch.data, aborted)
        horizon = header.delete_horizon_ms
        if horizon is None:
            records = list(packed_records(batch))
            return Kept(batch_of_survivors(header, records, self._now_ms + self._delete_retention_ms))
        # The last marker of a silent producer tells its epoch, without which a zombie could write.
        if self._now_ms < horizon or self._is_last(header):
            return Kept(batch.data)
        self.records_dropped += 1
        return None

    def _stays(self, record: PackedRecord, header: BatchHeader) -> bool:
        if record.offset >= self._end:
            return True
        if record.key is None or record.offset < self._newest.newest(record.key):
            return False
        horizon = header.delete_horizon_ms
        return not record.is_tombstone or horizon is None or self._now_ms < horizon

    def _is_last(self, header: BatchHeader) -> bool:
        last = self._producers.get(header.producer_id)
        if last is None:
            return False
        if last.data_offset is None:
            return header.is_control and header.producer_epoch == last.producer_epoch
        return header.last_offset == last.data_offset

    def _without_records(self, batch: RecordBatch) -> Kept:
        return Kept(batch.data if not batch.header.record_count else batch_of_survivors(batch.header, ()))
