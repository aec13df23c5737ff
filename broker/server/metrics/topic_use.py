"""What a topic has on the disk, and what went in and out since the start."""

from collections.abc import Iterator
from dataclasses import dataclass

from broker.topics import Catalog

OTHERS = "(others)"


@dataclass(slots=True)
class TopicUse:
    """Sums over the partitions. `offsets` counts markers and what compaction took, too."""

    topic: str
    partitions: int = 0
    offline: int = 0
    log_bytes: int = 0
    segments: int = 0
    offsets: int = 0
    appended_records: int = 0
    appended_bytes: int = 0
    fetched_bytes: int = 0

    def add(self, other: "TopicUse") -> None:
        self.partitions += other.partitions
        self.offline += other.offline
        self.log_bytes += other.log_bytes
        self.segments += other.segments
        self.offsets += other.offsets
        self.appended_records += other.appended_records
        self.appended_bytes += other.appended_bytes
        self.fetched_bytes += other.fetched_bytes


def topic_uses(catalog: Catalog) -> Iterator[TopicUse]:
    """One for each topic."""
    for topic in catalog:
        use = TopicUse(topic.name, partitions=len(topic.partitions))
        for partition in topic.partitions:
            use.offline += partition.offline is not None
            if partition.unopened is not None:
                continue
            log = partition.log
            use.log_bytes += log.size
            use.segments += log.segment_count
            use.offsets += log.next_offset - log.log_start_offset
            use.appended_records += partition.appended_records
            use.appended_bytes += partition.appended_bytes
            use.fetched_bytes += partition.fetched_bytes
        yield use
