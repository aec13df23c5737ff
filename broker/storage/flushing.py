"""
An fsync in three steps, so that the slow one can run in a worker thread while the log is written on.

    pending = log.flush_begin()     on the log's thread: which files, up to which offset
    pending.run()                   on any thread: fsync
    log.flush_complete(pending)     on the log's thread: the recovery point moves
"""

from collections.abc import Sequence
from pathlib import Path

from broker.clock import Clock
from broker.storage.config import LogConfig
from broker.storage.files import FileSystem, OpenFile
from broker.storage.segments import Segments


class PendingFlush:
    """The files to sync so that every batch below *up_to* survives a loss of power. They are retained for it."""

    __slots__ = ("_directories", "_files", "error", "file_system", "generation", "up_to")

    def __init__(
        self,
        files: Sequence[OpenFile],
        directories: Sequence[Path],
        file_system: FileSystem,
        *,
        up_to: int,
        generation: int,
    ) -> None:
        self._files = files
        self._directories = directories
        self.file_system = file_system
        self.up_to = up_to
        self.generation = generation
        self.error: OSError | None = None

    def run(self) -> None:
        """Syncs the files, then the directories that have new names. Never raises: flush_complete() does."""
        try:
            for file in self._files:
                file.sync()
            for directory in self._directories:
                self.file_system.sync_directory(directory)
        except OSError as error:
            self.error = error

    def release(self) -> None:
        """Lets go of the files."""
        for file in self._files:
            file.release()
        self._files = ()


class Flushing:
    """How far one log is synced, and when it has to be again."""

    def __init__(
        self, directory: Path, segments: Segments, files: FileSystem, clock: Clock, recovery_point: int
    ) -> None:
        self.recovery_point = recovery_point
        """Everything below was synced."""
        self.new_names = True
        """Whether the directory has names that a loss of power would take."""
        self.new_directory = True
        """Whether its own name may be such a one."""
        self.generation = 0
        self._directory = directory
        self._segments = segments
        self._files = files
        self._clock = clock
        self.dirty_since: float | None = None
        """When the first append was that is not synced, on the clock's monotonic hand; None while all are."""

    def wrote(self) -> None:
        """Notes the first append that is not synced: flush.ms counts from it."""
        self.dirty_since = self._clock.monotonic()

    def truncated(self, next_offset: int) -> None:
        """Notes that the log ends at *next_offset*, synced; what a flush under way finds is no longer about it."""
        self.generation += 1
        self.recovery_point = min(self.recovery_point, next_offset)

    def is_due(self, config: LogConfig, next_offset: int) -> bool:
        """By flush.before.ack, flush.messages, flush.ms, or because a sealed segment is not synced."""
        unflushed = next_offset - self.recovery_point
        if unflushed <= 0:
            return False
        deadline = self.deadline(config)
        return (
            config.flush_before_ack
            or self.recovery_point < self._segments.active.base_offset
            or unflushed >= config.flush_messages
            or (deadline is not None and self._clock.monotonic() >= deadline)
        )

    def deadline(self, config: LogConfig) -> float | None:
        """When flush.ms asks for an fsync, on the clock's monotonic hand; None while everything is synced."""
        return None if self.dirty_since is None else self.dirty_since + config.flush_ms / 1000

    def begin(self, next_offset: int) -> PendingFlush:
        """The fsync of all segments that are not synced. Raises OSError."""
        to_sync: list[OpenFile] = []
        try:
            for segment in self._segments:
                if self._segments.end_of(segment, next_offset) <= self.recovery_point:
                    continue
                file = segment.file()
                file.retain()
                to_sync.append(file)
                if len(segment.transactions()):
                    segment.transactions().save()
                    to_sync.append(self._files.open(segment.transaction_index_path, create=True))
                    self.new_names = True
                if segment is not self._segments.active:
                    self._segments.read(segment)
                    paths = (segment.offset_index_path, segment.time_index_path)
                    to_sync.extend(self._files.open(path, create=True) for path in paths)
        except OSError:
            for file in to_sync:
                file.release()
            raise
        directories: list[Path] = []
        if self.new_names:
            directories.append(self._directory)
        if self.new_directory:
            directories.append(self._directory.parent)
        pending = PendingFlush(
            to_sync,
            directories,
            self._files,
            up_to=next_offset,
            generation=self.generation,
        )
        self.new_names = self.new_directory = False
        self.dirty_since = None
        return pending

    def complete(self, pending: PendingFlush) -> bool:
        """Moves the recovery point; False when there was nothing to move."""
        if pending.generation != self.generation or pending.up_to <= self.recovery_point:
            return False
        self.recovery_point = pending.up_to
        return True
