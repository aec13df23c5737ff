"""
Three checkpoint files of one data directory: per partition, the recovery point, the log start, the clean offset.

They name partitions by topic and index, so a topic that is deleted and made again would find its predecessor's
offsets, and lose what lies below them after a crash. Whoever makes a partition asks `mention()` first, and has the
files written anew.

Threads     `take()` on the logs' thread; `write()` of what it gave on any. Of two, the one that was taken later stays,
            whichever is written last
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock

from broker.identifiers import TopicPartition
from broker.storage.checkpoints import (
    CLEAN_OFFSETS,
    LOG_START_OFFSETS,
    RECOVERY_POINTS,
    UnsoundCheckpoint,
    read_offsets,
    write_offsets,
)
from broker.storage.files import FileSystem
from broker.storage.log import PartitionLog

Offsets = Mapping[TopicPartition, int]


class PartitionCheckpoints:
    """The files of *directory*. `recovery_points`, `log_starts` and `clean_offsets` are as they were at the start."""

    def __init__(self, directory: Path, files: FileSystem) -> None:
        self._directory = directory
        self._files = files
        self.recovery_points = self._read(RECOVERY_POINTS)
        self.log_starts = self._read(LOG_START_OFFSETS)
        self.clean_offsets = self._read(CLEAN_OFFSETS)
        self._has_clean_offsets = bool(self.clean_offsets)
        # What the files may name: what they did at last, and what is on its way to them.
        self._mentioned = frozenset((*self.recovery_points, *self.log_starts, *self.clean_offsets))
        self._taken = 0
        self._written = 0
        self._lock = Lock()

    def mention(self, partitions: Iterable[TopicPartition]) -> bool:
        """Whether one of *partitions* may be in the files."""
        return not self._mentioned.isdisjoint(partitions)

    def take(
        self, logs: Mapping[TopicPartition, PartitionLog], keep: Iterable[TopicPartition] = ()
    ) -> "CheckpointWrite":
        """What the files have to say now; *logs*, and those to *keep* as they were at the start, are all there are."""
        with self._lock:
            self._taken += 1
            self._mentioned |= logs.keys()
            taken = CheckpointWrite(
                self,
                self._taken,
                {key: log.recovery_point for key, log in logs.items()},
                {key: log.log_start_offset for key, log in logs.items()},
                {key: log.clean_offset for key, log in logs.items() if log.clean_offset > 0},
            )
            for key in keep:
                for before, now in (
                    (self.recovery_points, taken.recovery_points),
                    (self.log_starts, taken.log_starts),
                    (self.clean_offsets, taken.clean_offsets),
                ):
                    if key in before:
                        now[key] = before[key]
            return taken

    def write(self, taken: "CheckpointWrite") -> None:
        """Raises OSError."""
        with self._lock:
            if taken.number < self._written:
                return
            write_offsets(self._files, self._directory / RECOVERY_POINTS, taken.recovery_points)
            write_offsets(self._files, self._directory / LOG_START_OFFSETS, taken.log_starts)
            if taken.clean_offsets or self._has_clean_offsets:
                write_offsets(self._files, self._directory / CLEAN_OFFSETS, taken.clean_offsets)
                self._has_clean_offsets = True
            self._written = taken.number
            if taken.number == self._taken:
                self._mentioned = frozenset(taken.recovery_points)

    def _read(self, name: str) -> Offsets:
        try:
            return read_offsets(self._files, self._directory / name)
        except UnsoundCheckpoint:
            # Then logs are read from their start, and start where their first segment does.
            return {}


class CheckpointWrite:
    """What was true when it was taken; `write()` brings it to the disk, unless something newer is there."""

    __slots__ = ("_checkpoints", "clean_offsets", "log_starts", "number", "recovery_points")

    def __init__(
        self,
        checkpoints: PartitionCheckpoints,
        number: int,
        recovery_points: dict[TopicPartition, int],
        log_starts: dict[TopicPartition, int],
        clean_offsets: dict[TopicPartition, int],
    ) -> None:
        self._checkpoints = checkpoints
        self.number = number
        self.recovery_points = recovery_points
        self.log_starts = log_starts
        self.clean_offsets = clean_offsets

    def write(self) -> None:
        """Raises OSError."""
        self._checkpoints.write(self)
