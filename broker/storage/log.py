"""
The log of one partition: batches in, places in files out.

Offsets, ascending
    log start offset     the first that may be read; retention and delete_records() move it
    last stable offset   everything below belongs to no open transaction
    high watermark       everything below may be read: what was written or, with flush.before.ack, what was synced
    next offset          the next batch gets it
    recovery point       everything below was synced

Threads    all calls on one thread, but for PendingFlush.run(), Compaction.run() and DeletedSegment.remove()
Failures   a write that finds no room is cut off again and refused, and the next append tries again; after any other
           failure, and after every failed fsync, nobody knows what the disk has, so the log takes no appends until it
           is opened again. Reads go on in both cases (health.py)
Source     Kafka's UnifiedLog and LocalLog
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from broker.clock import Clock
from broker.records import (
    BatchHeader,
    CorruptBatch,
    Marker,
    MarkerKind,
    RecordBatch,
    TimestampType,
    iterate_batches,
    parse_marker,
)
from broker.records.header import CONTROL_BIT, assign_position, stamp_log_append_time
from broker.storage.append_validation import AppendOrigin, validate_batch
from broker.storage.compaction import Compaction
from broker.storage.compactions import Compactions
from broker.storage.config import LogConfig
from broker.storage.dirt import Dirt
from broker.storage.errors import InvalidRecord, OffsetOutOfRange, StorageError
from broker.storage.files import FileSystem, write_atomically
from broker.storage.flushing import Flushing, PendingFlush
from broker.storage.health import DiskHealth, LogHealth
from broker.storage.leader_epochs import EpochEndOffset
from broker.storage.names import PRODUCER_SNAPSHOT, offset_name
from broker.storage.producer_snapshot import snapshot_bytes
from broker.storage.producer_state import ProducerState
from broker.storage.progress import OpeningProgress
from broker.storage.reader import Reader
from broker.storage.recovery import LoadedLog, completed_abort, load_log, replay
from broker.storage.retention import DeletedSegment, expired_segments, rename_deleted
from broker.storage.rolling import Rolling
from broker.storage.segment import Segment
from broker.storage.slices import LogSlice
from broker.storage.timestamps import TimestampOffset, first_at_or_after, with_max_timestamp
from broker.storage.transaction_index import AbortedTransaction

_REPLAY_BYTES = 1024 * 1024


class Appended(NamedTuple):
    """
    Where a batch is: the offsets of its first and last record, the log's time for it (ms, -1: the producer's counts).

    `duplicate`: it was there already, at these offsets. With flush.before.ack the answer waits, in both cases, until
    the high watermark is above last_offset.
    """

    base_offset: int
    last_offset: int
    log_append_time_ms: int
    log_start_offset: int
    duplicate: bool


class PartitionLog:
    """An open partition log. Made by open(); its properties are described on top of this module."""

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
        clean_offset: int,
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
        self._rolling = Rolling(clock.now_ms())
        self._saved_at: tuple[int, int, int] | None = None
        self._compactions = Compactions(directory, loaded.segments, files, min(clean_offset, loaded.next_offset))

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        files: FileSystem,
        clock: Clock,
        config: LogConfig,
        clean: bool,
        recovery_point: int = 0,
        log_start_offset: int = 0,
        clean_offset: int = 0,
        disk: DiskHealth | None = None,
        progress: OpeningProgress | None = None,
    ) -> "PartitionLog":
        """
        The log in *directory*, made when it is missing, recovered when the last stop was not *clean*. Logs of one data
        directory share *disk*; *progress* tells how far a recovery has come.

        Raises StorageError when the disk fails, or has damaged what was synced.
        """
        try:
            loaded = load_log(
                directory,
                files,
                config,
                now_ms=clock.now_ms(),
                clean=clean,
                recovery_point=recovery_point,
                log_start_offset=log_start_offset,
                progress=progress or OpeningProgress(clock, 1),
            )
        except OSError as error:
            raise StorageError(directory, error) from error
        log = cls(
            directory,
            loaded,
            files=files,
            clock=clock,
            config=config,
            recovery_point=loaded.next_offset if clean else recovery_point,
            log_start_offset=log_start_offset,
            clean_offset=clean_offset,
            disk=disk or DiskHealth(),
        )
        if clean or not log.next_offset:
            log._saved_at = log._mark()
        if config.flush_before_ack and log.recovery_point < log.next_offset:
            # The tail was never acknowledged: nobody may read it before it is sure to stay.
            log.flush()
        return log

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

    # ---- append

    def append(self, records: memoryview, leader_epoch: int, origin: AppendOrigin = AppendOrigin.CLIENT) -> Appended:
        """
        Stores one batch, whose bytes are patched in place; the buffer may be used again on return.

        Raises AppendRefused (see errors.py), with nothing changed, and StorageError.
        """
        health = self._health
        if health.offline is not None:
            health.check()
        config = self.config
        now_ms = self._clock.now_ms()
        header = validate_batch(records, config, now_ms, origin)
        has_producer = header.producer_id >= 0
        if has_producer:
            stored = self._producers.check(header)
            if stored is not None:
                return Appended(stored.base_offset, stored.last_offset, -1, self._log_start_offset, duplicate=True)
        marker = _marker_in(header, records) if header.attributes & CONTROL_BIT else None
        base_offset = self._next_offset
        last_offset = base_offset + header.last_offset_delta
        append_time = -1
        max_timestamp = header.max_timestamp
        if config.message_timestamp_type is TimestampType.LOG_APPEND_TIME:
            append_time = max_timestamp = now_ms
            stamp_log_append_time(records, header.attributes, now_ms)
        assign_position(records, base_offset, leader_epoch)
        segment = self._segments.active
        try:
            if self._rolling.is_due(segment, len(records), last_offset, max_timestamp, now_ms, config):
                self._roll()
                segment = self._segments.active
            if leader_epoch > self._epochs.latest:
                self._epochs.assign(leader_epoch, base_offset)
            segment.append(records, last_offset, max_timestamp)
        except (OSError, StorageError) as error:
            raise health.failed(error, len(records)) from error
        if health.disk.refuses is not None:
            health.disk.wrote(len(records))
        self._next_offset = last_offset + 1
        if not config.flush_before_ack:
            self._high_watermark = last_offset + 1
        if self._flushing.dirty_since is None:
            self._flushing.wrote()
        if has_producer:
            if marker is None:
                self._producers.stored(header, base_offset, now_ms)
            else:
                self._note_end(segment, header, base_offset, marker, now_ms)
        return Appended(base_offset, last_offset, append_time, self._log_start_offset, False)

    def roll(self) -> None:
        """Seals the active segment and starts a new one at the next offset, unless it is empty. Raises StorageError."""
        try:
            self._roll()
        except (OSError, StorageError) as error:
            raise self._health.failed(error) from error

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

    # ---- flush

    @property
    def needs_flush(self) -> bool:
        """
        Whether an fsync is due: by flush.before.ack, flush.messages, flush.ms, or because a sealed segment
        is not synced (so that a recovery reads little more than the active one).
        """
        return self._health.offline is None and self._flushing.is_due(self.config, self._next_offset)

    def flush_deadline(self) -> float | None:
        """When flush.ms asks for an fsync, on the clock's monotonic hand; None while everything is synced."""
        return self._flushing.deadline(self.config)

    def flush(self) -> None:
        """Returns when everything that was appended survives a loss of power. Raises StorageError."""
        pending = self.flush_begin()
        pending.run()
        self.flush_complete(pending)

    def flush_begin(self) -> PendingFlush:
        """The fsync that is due. Every one that was begun must be completed. Raises StorageError."""
        # A second fsync succeeds where the first has failed, and says nothing about what that one was to write.
        self._health.check()
        try:
            pending = self._flushing.begin(self._next_offset)
        except OSError as error:
            raise self._health.failed(error) from error
        if self.config.flush_before_ack:
            self._reader.remember_end(self._next_offset)
        return pending

    def flush_complete(self, pending: PendingFlush) -> None:
        """Moves the recovery point and the high watermark. Raises StorageError when the fsync failed."""
        pending.release()
        if pending.error is not None:
            raise self._health.go_offline(f"an fsync failed ({pending.error})") from pending.error
        self._health.check()
        if self._flushing.complete(pending):
            self._high_watermark = max(self._high_watermark, pending.up_to)

    # ---- shorten

    def truncate_to(self, offset: int) -> None:
        """
        Forgets every batch that reaches *offset*, which becomes at most the next offset. Synced when it returns:
        what was cut must not come back behind what is written in its place.

        Raises OffsetOutOfRange below the log start offset, StorageError.
        """
        if offset >= self._next_offset:
            return
        self._check_range(offset)
        try:
            self._compactions.settle()
            # Not the place of the next batch: behind a hole that would be in a segment that starts after the offset.
            segment = self._segments.holding(offset)
            position = self._reader.position_in(segment, offset)
            while self._segments.active is not segment:
                dropped = self._segments.active
                rename_deleted(dropped, self._files, self._snapshot_path(dropped.base_offset)).remove()
                self._segments.remove(dropped)
            segment.truncate(position, offset)
            # A batch goes as a whole, so this may be below the offset; but not below what readers were told is gone.
            next_offset = max(segment.resume(), self._log_start_offset)
            self._files.sync_directory(self.directory)
            self._epochs.truncate_from_end(next_offset)
            self._producers = replay(
                self.directory,
                self._files,
                self._segments,
                self._epochs,
                next_offset,
                now_ms=self._clock.now_ms(),
                clean=True,
            )
        except (OSError, CorruptBatch) as error:
            raise self._health.go_offline(f"a truncation failed half-way ({error})") from error
        self._reader.forget()
        self._flushing.truncated(next_offset)
        self._compactions.abandon(next_offset)
        self._next_offset = next_offset
        self._high_watermark = min(self._high_watermark, next_offset)

    def delete_records(self, before: int) -> int:
        """
        Moves the log start offset up to *before* (-1: the high watermark); apply_retention() then drops segments.

        Raises OffsetOutOfRange above the high watermark, StorageError.
        """
        target = self._high_watermark if before == -1 else before
        if not 0 <= target <= self._high_watermark:
            raise OffsetOutOfRange(before, self._log_start_offset, self._high_watermark)
        self._move_log_start(target)
        return self._log_start_offset

    def apply_retention(self) -> list[DeletedSegment]:
        """Takes out what has expired; the caller removes the files when it likes. Raises StorageError."""
        now_ms = self._clock.now_ms()
        self._producers.expire(now_ms, self.config.producer_id_expiration_ms)
        deleted: list[DeletedSegment] = []
        try:
            expired = expired_segments(
                self._segments,
                self.config,
                now_ms=now_ms,
                log_start_offset=self._log_start_offset,
                next_offset=self._next_offset,
                high_watermark=self._high_watermark,
            )
            if expired:
                self._compactions.settle()
            for segment in expired:
                if segment is self._segments.active:
                    self.roll()
                deleted.append(rename_deleted(segment, self._files, self._snapshot_path(segment.base_offset)))
                self._segments.remove(segment)
                self._move_log_start(self._segments.first.base_offset)
        except OSError as error:
            raise self._health.failed(error) from error
        return deleted

    # ---- compaction

    @property
    def clean_offset(self) -> int:
        """Everything below was compacted, for the checkpoint."""
        return self._compactions.clean_offset

    def roll_when_overdue(self) -> None:
        """Ends the active segment when its first record waits too long for compaction. Raises StorageError."""
        first = self._segments.active.first_timestamp
        if 0 <= first < self._clock.now_ms() - self.config.max_compaction_lag_ms:
            self.roll()

    def dirt(self) -> Dirt:
        """What there is to compact, synced or not. Raises StorageError."""
        try:
            return self._compactions.dirt(self.config, now_ms=self._clock.now_ms(), end_max=self.last_stable_offset)
        except OSError as error:
            raise self._health.failed(error) from error

    def compaction_begin(self, *, map_bytes_max: int) -> Compaction | None:
        """
        A pass over the dirt that is synced; None when none is due, or one runs. Every one has to be advanced to its
        end (compaction.py). Raises StorageError.
        """
        try:
            return self._compactions.begin(
                self.config,
                now_ms=self._clock.now_ms(),
                end_max=min(self.last_stable_offset, self.recovery_point),
                aborted_in=self.aborted_in,
                producers=self._producers.states(),
                map_bytes_max=map_bytes_max,
            )
        except OSError as error:
            raise self._health.failed(error) from error

    def compaction_advance(self, compaction: Compaction) -> bool:
        """
        Puts what was cleaned in its place; True when run() has more to do.

        Raises StorageError, CompressionUnavailable, and what damaged records raise; the log is sound then as well.
        """
        try:
            return self._compactions.advance(compaction)
        except OSError as error:
            raise self._health.failed(error) from error
        finally:
            self._reader.forget()

    def close(self, *, clean: bool) -> None:
        """
        Lets go of every file. *clean*: synced, with indexes and producer state saved; the next open reads nothing.

        Raises StorageError when that failed: leave no clean-shutdown mark then.
        """
        try:
            if clean:
                self._health.check()
            self._compactions.abandon(self._next_offset)
            if clean:
                self._compactions.settle()
            # What nobody has written to since it was opened needs no fsync: a thousand idle partitions stop at once.
            if clean and self._saved_at != self._mark():
                self.flush()
                self._segments.active.seal(sync=True)
                self._take_snapshot(sync=True)
        except OSError as error:
            raise self._health.failed(error) from error
        finally:
            self._reader.forget()
            self._segments.close()

    # ---- inside

    def _roll(self) -> None:
        active = self._segments.active
        if not active.size:
            return
        active.seal()
        self._take_snapshot(sync=False)
        # The new file last: it must not be there while the old segment can still grow past its base offset.
        segment = Segment.create(self.directory, self._next_offset, self._files, self.config.index_interval_bytes)
        self._segments.add(segment)
        self._rolling = Rolling(self._clock.now_ms())
        self._flushing.new_names = True

    def _mark(self) -> tuple[int, int, int]:
        """Differs when there is something to save that was not there before."""
        return self._next_offset, self._segments.active.base_offset, self._flushing.generation

    def _check_range(self, offset: int) -> None:
        if not self._log_start_offset <= offset <= self._next_offset:
            raise OffsetOutOfRange(offset, self._log_start_offset, self._next_offset)

    def _note_end(self, segment: Segment, header: BatchHeader, marker_offset: int, marker: Marker, now_ms: int) -> None:
        start = self._producers.ended(header, marker_offset, marker.coordinator_epoch, now_ms)
        if start is not None and marker.kind is MarkerKind.ABORT:
            # Saved with the next flush, or when the segment is sealed; until then a crash makes the markers be read.
            segment.transactions().append(completed_abort(self._producers, header.producer_id, start, marker_offset))

    def _move_log_start(self, offset: int) -> None:
        if offset <= self._log_start_offset:
            return
        self._log_start_offset = offset
        self._epochs.truncate_from_start(offset)

    def _take_snapshot(self, *, sync: bool) -> None:
        write_atomically(
            self._files, self._snapshot_path(self._next_offset), snapshot_bytes(self._producers.states()), sync=sync
        )

    def _snapshot_path(self, offset: int) -> Path:
        return self.directory / offset_name(offset, PRODUCER_SNAPSHOT)


def _marker_in(header: BatchHeader, records: memoryview) -> Marker:
    try:
        return parse_marker(next(RecordBatch(header, records).records()))
    except CorruptBatch as error:
        raise InvalidRecord(str(error)) from error
