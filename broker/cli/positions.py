"""Which offsets a place in a log is, in each partition."""

from collections.abc import Sequence
from typing import assert_never

from confluent_kafka import TopicPartition

from broker.cli.cluster import EARLIEST, LATEST, Cluster, at_time
from broker.cli.places import AtOffset, AtTime, BeforeEnd, Beginning, End, Place

Offsets = dict[tuple[str, int], int]
"""By (topic, partition)."""


def resolve(
    cluster: Cluster, partitions: Sequence[TopicPartition], place: Place, *, committed: bool = False
) -> Offsets:
    """The offset of *place* in each partition, within what is there. A time behind the last record is the end."""
    starts = cluster.offsets(EARLIEST, partitions)
    ends = cluster.offsets(LATEST, partitions, committed=committed)
    match place:
        case Beginning():
            return starts
        case End():
            return ends
        case AtOffset(offset):
            return {key: within(offset, starts[key], ends[key]) for key in ends}
        case BeforeEnd(count):
            return {key: within(end - count, starts[key], end) for key, end in ends.items()}
        case AtTime(timestamp_ms):
            found = cluster.offsets(at_time(timestamp_ms), partitions, committed=committed)
            return {key: end if found[key] < 0 else within(found[key], starts[key], end) for key, end in ends.items()}
        case _:
            assert_never(place)


def within(offset: int, start: int, end: int) -> int:
    """*offset*, or the end of the log that it lies behind."""
    return max(start, min(offset, end))
