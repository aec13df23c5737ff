"""
What of a log is worth compacting: the part that no compaction has seen, from the clean offset to the first segment that
may not be touched.

Not touched     the active segment; whatever an open transaction may still end (from the last stable offset on); with
                min.compaction.lag.ms the first segment whose largest timestamp is younger, and all behind it
Due             the dirty part is more than min.cleanable.dirty.ratio of clean and dirty together, or has a segment
                whose first record is older than max.compaction.lag.ms
Source          Kafka's LogCleanerManager
"""

from typing import NamedTuple

from broker.storage.config import LogConfig
from broker.storage.segment import Segment
from broker.storage.segments import Segments


class Dirt(NamedTuple):
    """The offsets from *start* to *end*, all in sealed segments, and the sizes (bytes) to weigh them by."""

    start: int
    end: int
    clean_bytes: int
    dirty_bytes: int
    is_overdue: bool
    ratio_min: float

    @property
    def ratio(self) -> float:
        """0 without dirt, 1 when nothing is clean."""
        return self.dirty_bytes / (self.clean_bytes + self.dirty_bytes) if self.dirty_bytes else 0.0

    @property
    def is_due(self) -> bool:
        return self.end > self.start and (self.is_overdue or self.ratio > self.ratio_min)


def find_dirt(segments: Segments, config: LogConfig, *, now_ms: int, clean_offset: int, end_max: int) -> Dirt:
    """The dirt below *end_max*, in whole segments. Raises StorageError, OSError."""
    start = max(clean_offset, segments.first.base_offset)
    end = start
    clean_bytes = dirty_bytes = 0
    is_overdue = False
    for segment in segments:
        if segment is segments.active:
            break
        segment_end = segments.end_of(segment, end_max)
        if segment_end <= start:
            clean_bytes += segment.size
            continue
        too_young = (
            config.min_compaction_lag_ms > 0 and segment.largest_timestamp()[0] > now_ms - config.min_compaction_lag_ms
        )
        if segment_end > end_max or too_young:
            break
        end = segment_end
        dirty_bytes += segment.size
        is_overdue = is_overdue or _waits_too_long(segment, config, now_ms)
    return Dirt(start, end, clean_bytes, dirty_bytes, is_overdue, config.min_cleanable_dirty_ratio)


def _waits_too_long(segment: Segment, config: LogConfig, now_ms: int) -> bool:
    if now_ms < config.max_compaction_lag_ms:
        return False
    first = next(segment.headers(), None)
    return first is not None and 0 <= first[1].max_timestamp < now_ms - config.max_compaction_lag_ms
