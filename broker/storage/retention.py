"""
Which segments a log may drop, and dropping them.

    below log start   every segment that ends at or before the log start offset, whatever the policy
    time              cleanup.policy delete: the largest timestamp of the segment is older than retention.ms (-1: never)
    size              cleanup.policy delete: the log without the segment still has retention.bytes (-1: never)
Always whole segments, from the first one on, and only below the high watermark. Source: Kafka's UnifiedLog.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from broker.storage.config import LogConfig
from broker.storage.files import FileSystem
from broker.storage.names import DELETED
from broker.storage.segment import Segment
from broker.storage.segments import Segments


class DeletedSegment(NamedTuple):
    """A segment that is out of the log; its files carry the suffix .deleted and still take their room on the disk."""

    paths: Sequence[Path]
    size: int
    files: FileSystem

    def remove(self) -> None:
        """Removes the files, in any thread; the next start removes the rest. Raises OSError."""
        for path in self.paths:
            self.files.remove(path)


def expired_segments(
    segments: Segments,
    config: LogConfig,
    *,
    now_ms: int,
    log_start_offset: int,
    next_offset: int,
    high_watermark: int,
) -> list[Segment]:
    """The segments to drop, in order; the active one among them when all of it has expired by time."""
    expired: list[Segment] = []
    size = segments.size
    for segment in segments:
        end = segments.end_of(segment, next_offset)
        if end > high_watermark or (segment is segments.active and not segment.size):
            break
        by_start = segment is not segments.active and end <= log_start_offset
        by_time = config.deletes and config.retention_ms >= 0 and _age_ms(segment, now_ms) > config.retention_ms
        by_size = (
            config.deletes
            and segment is not segments.active
            and config.retention_bytes >= 0
            and size - segment.size >= config.retention_bytes
        )
        if not (by_start or by_time or by_size):
            break
        expired.append(segment)
        size -= segment.size
    return expired


def rename_deleted(segment: Segment, files: FileSystem, snapshot: Path) -> DeletedSegment:
    """Takes the files of *segment* out of the log. Raises OSError, with nothing changed, when the disk refuses."""
    renamed: list[Path] = []
    # The .log file first: an index without one is an orphan, which the next start removes.
    for path in (
        segment.path,
        segment.offset_index_path,
        segment.time_index_path,
        segment.transaction_index_path,
        snapshot,
    ):
        target = path.with_name(path.name + DELETED)
        try:
            files.rename(path, target)
        except OSError:
            if path is segment.path:
                raise
            continue
        renamed.append(target)
    return DeletedSegment(tuple(renamed), segment.size, files)


def _age_ms(segment: Segment, now_ms: int) -> int:
    timestamp, _ = segment.largest_timestamp()
    # Producers that give no timestamps leave the file's own.
    return now_ms - (timestamp if timestamp >= 0 else segment.modified_ms())
