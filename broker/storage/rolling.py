"""
When the active segment is full, or its time is over.

    size     the batch would take it above segment.bytes, or a u32 offset above its base offset
    index    an index has segment.index.bytes
    time     the batch is more than segment.ms later than the segment's first one, both by their largest timestamp, or
             by the clock since the segment began where the first has none; segment.jitter.ms: less a share of it that
             is drawn anew for each segment, so that logs that began together do not roll together
Source       Kafka's LogSegment.shouldRoll
"""

from random import random

from broker.storage.config import LogConfig
from broker.storage.segment import RELATIVE_OFFSET_MAX, Segment


class Rolling:
    """The age of the active segment of one log."""

    __slots__ = ("_began_ms", "_jitter_share")

    def __init__(self, now_ms: int) -> None:
        self._began_ms = now_ms
        self._jitter_share = random()

    def is_due(
        self, segment: Segment, size: int, last_offset: int, max_timestamp: int, now_ms: int, config: LogConfig
    ) -> bool:
        """Whether a batch of *size* bytes up to *last_offset* wants a new segment."""
        if segment.size and (
            segment.size + size > config.segment_bytes
            or last_offset - segment.base_offset > RELATIVE_OFFSET_MAX
            # No index has more; so many entries of the larger kind have room in any case.
            or (
                segment.index_entries >= config.segment_index_bytes // 12 - 1
                and segment.has_full_index(config.segment_index_bytes)
            )
        ):
            return True
        first = segment.first_timestamp
        waited_ms = max_timestamp - first if first >= 0 else now_ms - self._began_ms
        if waited_ms <= config.segment_ms - config.segment_jitter_ms:
            return False
        jitter_ms = int(self._jitter_share * min(config.segment_jitter_ms, config.segment_ms))
        return segment.size > 0 and waited_ms > config.segment_ms - jitter_ms
