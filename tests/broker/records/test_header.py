"""The header's patches: what the broker writes into a batch that it does not open."""

from kafka.record.default_records import DefaultRecordBatch

from broker.records import NewRecord, TimestampType, build_batch, parse_header
from broker.records.header import SEQUENCE_MAX, add_to_sequence, assign_position, stamp_log_append_time


def test_base_offset_and_leader_epoch_change_outside_the_crc() -> None:
    """The patched batch is still valid, and only those two fields differ."""
    batch = build_batch([NewRecord(b"k", b"v"), NewRecord(None, b"w")], timestamp=5)
    before = bytes(batch)
    assign_position(memoryview(batch), 2**40, 17)
    theirs = DefaultRecordBatch(bytes(batch))
    assert theirs.validate_crc()
    assert (theirs.base_offset, theirs.leader_epoch) == (2**40, 17)
    assert (batch[8:12], batch[16:]) == (before[8:12], before[16:])


def test_log_append_time_changes_attributes_max_timestamp_and_crc() -> None:
    """An independent reader sees the log's time on every record, and a CRC that is right again."""
    batch = build_batch([NewRecord(b"k", b"v", 10), NewRecord(None, b"w", 20)], timestamp=5)
    stamp_log_append_time(memoryview(batch), parse_header(batch).attributes, 1_700_000_000_000)
    theirs = DefaultRecordBatch(bytes(batch))
    assert theirs.validate_crc()
    assert theirs.timestamp_type == 1
    assert [record.timestamp for record in theirs] == [1_700_000_000_000] * 2
    header = parse_header(batch)
    assert (header.timestamp_type, header.base_timestamp) == (TimestampType.LOG_APPEND_TIME, 10)


def test_a_sequence_wraps_behind_its_largest_value() -> None:
    """0 follows 2^31-1, within a batch and between batches."""
    assert add_to_sequence(SEQUENCE_MAX, 1) == 0
    batch = build_batch([NewRecord(None, b"v")] * 4, timestamp=1, producer_id=1, base_sequence=SEQUENCE_MAX - 1)
    assert parse_header(batch).last_sequence == 1


def test_a_producer_that_is_not_idempotent_has_no_last_sequence() -> None:
    """-1 stays -1, whatever the record count."""
    assert parse_header(build_batch([NewRecord(None, b"v")] * 4, timestamp=1)).last_sequence == -1
