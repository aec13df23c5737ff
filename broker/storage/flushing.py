"""
An fsync in three steps, so that the slow one can run in a worker thread while the log is written on.

    pending = log.flush_begin()     on the log's thread: which files, up to which offset
    pending.run()                   on any thread: fsync
    log.flush_complete(pending)     on the log's thread: the recovery point moves
"""

from collections.abc import Sequence
from pathlib import Path

from broker.storage.files import FileSystem, OpenFile


class PendingFlush:
    """The files to sync so that every batch below *up_to* survives a loss of power. They are retained for it."""

    __slots__ = ("_directory", "_files", "error", "file_system", "generation", "up_to")

    def __init__(
        self,
        files: Sequence[OpenFile],
        directory: Path | None,
        file_system: FileSystem,
        *,
        up_to: int,
        generation: int,
    ) -> None:
        self._files = files
        self._directory = directory
        self.file_system = file_system
        self.up_to = up_to
        self.generation = generation
        self.error: OSError | None = None

    def run(self) -> None:
        """Syncs the files, then the directory when it has new names. Never raises: flush_complete() does."""
        try:
            for file in self._files:
                file.sync()
            if self._directory is not None:
                self.file_system.sync_directory(self._directory)
        except OSError as error:
            self.error = error

    def release(self) -> None:
        """Lets go of the files."""
        for file in self._files:
            file.release()
        self._files = ()
