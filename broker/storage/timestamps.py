"""
Looks offsets up by time: by the time index to within a few kilobytes, then batch by batch, then record by record.

Where a compressed batch cannot be opened (cramjam is not installed) its first offset is the answer: the reader sees
records that are older than it asked for, and misses none.
"""

from typing import NamedTuple

from broker.records import BatchHeader, CompressionUnavailable, CorruptBatch, RecordBatch, UndecodableRecords
from broker.storage.segment import Segment
from broker.storage.segments import Segments


class TimestampOffset(NamedTuple):
    """A record found by its time (ms): its offset, its timestamp, and the leader epoch that wrote it."""

    offset: int
    timestamp: int
    leader_epoch: int


def first_at_or_after(segments: Segments, timestamp: int, log_start_offset: int) -> TimestampOffset | None:
    """The first record from *log_start_offset* on that is not before *timestamp*. Raises StorageError, OSError."""
    for segment in segments:
        if segment.largest_timestamp()[0] < timestamp:
            continue
        segments.read(segment)
        start = segment.find(segment.indexes()[1].lookup_below(timestamp))
        for position, header in segment.headers(start[0] if start else 0):
            if header.max_timestamp >= timestamp and header.last_offset >= log_start_offset:
                found = _first_record(segment, position, header, timestamp, log_start_offset)
                if found is not None:
                    return found
    return None


def with_max_timestamp(segments: Segments, log_start_offset: int) -> TimestampOffset | None:
    """The first record that has the largest timestamp of the log. Raises StorageError, OSError."""
    largest, holder = -1, None
    for segment in segments:
        timestamp, _ = segment.largest_timestamp()
        if timestamp > largest:
            largest, holder = timestamp, segment
    if holder is None:
        return None
    segments.read(holder)
    found = holder.find(holder.largest_timestamp()[1])
    if found is None:
        return None
    return _first_record(holder, *found, largest, log_start_offset)


def _first_record(
    segment: Segment, position: int, header: BatchHeader, timestamp: int, log_start_offset: int
) -> TimestampOffset | None:
    batch = RecordBatch(header, memoryview(segment.file().read_at(position, header.size)))
    try:
        for record in batch.records():
            if record.timestamp >= timestamp and record.offset >= log_start_offset:
                return TimestampOffset(record.offset, record.timestamp, header.leader_epoch)
    except (CompressionUnavailable, CorruptBatch, UndecodableRecords):
        offset = max(header.base_offset, log_start_offset)
        return TimestampOffset(offset, header.base_timestamp, header.leader_epoch)
    return None
