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

from pathlib import Path
from typing import NamedTuple

from broker.clock import Clock
from broker.records import BatchHeader, CorruptBatch, Marker, MarkerKind, RecordBatch, TimestampType, parse_marker
from broker.records.header import CONTROL_BIT, assign_position, stamp_log_append_time
from broker.storage.append_validation import AppendOrigin, validate_batch
from broker.storage.compaction import Compaction
from broker.storage.compactions import Compactions
from broker.storage.config import LogConfig
from broker.storage.dirt import Dirt
from broker.storage.errors import InvalidRecord, OffsetOutOfRange, StorageError
from broker.storage.files import FileSystem, write_atomically
from broker.storage.health import DiskHealth
from broker.storage.log_flushing import FlushableLog
from broker.storage.names import PRODUCER_SNAPSHOT, offset_name
from broker.storage.producer_snapshot import snapshot_bytes
from broker.storage.progress import OpeningProgress
from broker.storage.recovery import LoadedLog, completed_abort, load_log, replay
from broker.storage.retention import DeletedSegment, expired_segments, rename_deleted
from broker.storage.rolling import Rolling
from broker.storage.segment import Segment


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


class PartitionLog(FlushableLog):
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
        super().__init__(
            directory,
            loaded,
            files=files,
            clock=clock,
            config=config,
            recovery_point=recovery_point,
            log_start_offset=log_start_offset,
            disk=disk,
        )
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
