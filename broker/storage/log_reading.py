"""
What a partition log has and gives: offsets, places in files, look-ups by time and epoch.

The offsets are described in log.py, which is all that writes. One thread.
"""

from collections.abc import Iterator
from pathlib import Path

from broker.clock import Clock
from broker.records import CorruptBatch, RecordBatch, iterate_batches
from broker.storage.config import LogConfig
from broker.storage.errors import OffsetOutOfRange, StorageError
from broker.storage.files import FileSystem
from broker.storage.flushing import Flushing
from broker.storage.health import DiskHealth, LogHealth
from broker.storage.leader_epochs import EpochEndOffset
from broker.storage.producer_state import ProducerState
from broker.storage.reader import Reader
from broker.storage.recovery import LoadedLog
from broker.storage.segment import Segment
from broker.storage.slices import LogSlice
from broker.storage.timestamps import TimestampOffset, first_at_or_after, with_max_timestamp
from broker.storage.transaction_index import AbortedTransaction

_REPLAY_BYTES = 1024 * 1024


class ReadableLog:
    """The reading half of a `PartitionLog`."""

    def __init__(
        self,
        directory: Path,
        loaded: LoadedLog,
        *,
        files: FileSystem,
        clock: Clock,
        config: LogConfig,
        recovery_point: int,
        log_start_offset: int,
        disk: DiskHealth,
    ) -> None:
        self.directory = directory
        self.config = config
        self.recovered = loaded.report
        self._files = files
        self._clock = clock
        self._segments = loaded.segments
        self._epochs = loaded.epochs
        self._producers = loaded.producers
        self._next_offset = loaded.next_offset
        self._log_start_offset = max(log_start_offset, loaded.segments.first.base_offset)
        self._epochs.truncate_from_start(self._log_start_offset)
        self._flushing = Flushing(
            directory, loaded.segments, files, clock, recovery_point=min(recovery_point, loaded.next_offset)
        )
        self._high_watermark = loaded.next_offset
        self._health = LogHealth(directory, disk)
        self._reader = Reader(loaded.segments)

    # ---- what it has

    @property
    def log_start_offset(self) -> int:
        return self._log_start_offset

    @property
    def next_offset(self) -> int:
        return self._next_offset

    @property
    def high_watermark(self) -> int:
        return self._high_watermark

    @property
    def last_stable_offset(self) -> int:
        unstable = self._producers.first_unstable_offset(self._high_watermark)
        if unstable is None:
            return self._high_watermark
        # delete_records() may have moved the start into an open transaction.
        return min(max(unstable, self._log_start_offset), self._high_watermark)

    @property
    def recovery_point(self) -> int:
        return self._flushing.recovery_point

    @property
    def size(self) -> int:
        """Bytes in all segments."""
        return self._segments.size

    @property
    def segment_count(self) -> int:
        """One at least."""
        return len(self._segments)

    @property
    def leader_epoch(self) -> int:
        """Of the last batch; -1 when there never was one."""
        return self._epochs.latest

    @property
    def offline(self) -> str | None:
        """Why no append is taken until the broker starts again; None while they are."""
        return self._health.offline

    def active_producers(self) -> list[ProducerState]:
        """The known producers with an id, by id."""
        return self._producers.states()

    # ---- read

    def read(
        self, offset: int, max_bytes: int, *, at_least_one_batch: bool = True, up_to: int | None = None
    ) -> LogSlice | None:
        """
        Whole batches from the one that holds *offset* on, at most *max_bytes*, all below *up_to* (None: the high
        watermark). The first comes even when it is larger, unless *at_least_one_batch* is False (KIP-74).

        None when there is nothing to give. Raises OffsetOutOfRange outside log start to next offset, StorageError.
        """
        self._check_range(offset)
        limit = self._high_watermark if up_to is None else min(up_to, self._next_offset)
        if offset >= limit:
            if offset == self._next_offset:
                self._reader.remember_end(offset)
            return None
        try:
            return self._reader.slice(
                offset,
                max_bytes,
                limit=limit,
                next_offset=self._next_offset,
                at_least_one_batch=at_least_one_batch,
            )
        except OSError as error:
            raise self._health.failed(error) from error

    def bytes_between(self, offset: int, up_to: int | None = None) -> int:
        """
        How many bytes a reader has before it from the batch that holds *offset* to *up_to* (None: the high watermark).

        Raises OffsetOutOfRange, StorageError.
        """
        self._check_range(offset)
        limit = self._high_watermark if up_to is None else min(up_to, self._next_offset)
        if offset >= limit:
            return 0
        try:
            return self._reader.bytes_between(offset, limit=limit, next_offset=self._next_offset)
        except OSError as error:
            raise self._health.failed(error) from error

    def batches(self, offset: int, up_to: int | None = None) -> Iterator[RecordBatch]:
        """Every batch from the one that holds *offset* to *up_to*, CRC checked, in bounded memory. Errors as read()."""
        while (place := self.read(offset, _REPLAY_BYTES, up_to=up_to)) is not None:
            try:
                data = place.read()
            except OSError as error:
                raise self._health.failed(error) from error
            finally:
                place.release()
            try:
                for batch in iterate_batches(data):
                    yield batch
                    offset = batch.header.next_offset
            except CorruptBatch as error:
                raise StorageError(self.directory, f"behind offset {offset}: {error}") from error

    def aborted_in(self, offset: int, up_to: int, place: LogSlice | None = None) -> list[AbortedTransaction]:
        """
        The aborted transactions with records from *offset* to *up_to*, by the place of their markers. With *place*,
        what read() gave for *offset*: only those that may have records there. Raises StorageError.
        """
        found: list[AbortedTransaction] = []
        segment: Segment | None = self._segments.holding(offset)
        try:
            if place is not None:
                up_to = min(up_to, self._reader.end_of(offset, place, self._next_offset))
            while segment is not None:
                here, is_all = segment.transactions().overlapping(offset, up_to)
                found += here
                segment = None if is_all else self._segments.behind(segment)
        except OSError as error:
            raise self._health.failed(error) from error
        return found

    # ---- look-ups

    def offset_for_timestamp(self, timestamp_ms: int) -> TimestampOffset | None:
        """The first record whose timestamp is at least *timestamp_ms*; it may lie above the high watermark."""
        try:
            return first_at_or_after(self._segments, timestamp_ms, self._log_start_offset)
        except OSError as error:
            raise self._health.failed(error) from error

    def offset_of_max_timestamp(self) -> TimestampOffset | None:
        """The first record that has the largest timestamp; it may lie above the high watermark."""
        try:
            return with_max_timestamp(self._segments, self._log_start_offset)
        except OSError as error:
            raise self._health.failed(error) from error

    def leader_epoch_at(self, offset: int) -> int:
        """The epoch that wrote *offset*; -1 when it is not known."""
        return self._epochs.at(offset)

    def end_offset_for_epoch(self, leader_epoch: int) -> EpochEndOffset:
        """Where *leader_epoch* ended: (epoch at or below it, end offset), (-1, -1) when it is above the latest."""
        return self._epochs.end_offset(leader_epoch, self._next_offset)

    # ---- inside

    def _check_range(self, offset: int) -> None:
        if not self._log_start_offset <= offset <= self._next_offset:
            raise OffsetOutOfRange(offset, self._log_start_offset, self._next_offset)
