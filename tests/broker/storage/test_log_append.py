"""Appending to a partition log: offsets, patches, what is refused, what a failing disk does."""

import errno
from pathlib import Path

import pytest
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch

from broker.errors import ErrorCode
from broker.records import (
    Compression,
    Marker,
    MarkerKind,
    NewRecord,
    TimestampType,
    build_batch,
    build_marker,
    parse_header,
)
from broker.storage import Appended, AppendOrigin
from broker.storage.errors import (
    CorruptMessage,
    InvalidRecord,
    InvalidTimestamp,
    MessageTooLarge,
    NotOneBatch,
    RecordListTooLarge,
    StorageError,
    UnsupportedCompression,
)
from tests.broker.storage.bench import NOW, LogBench, resealed


def test_offsets_are_given_in_order_and_the_batch_is_patched_in_place(bench: LogBench) -> None:
    """The second batch starts where the first ended, and its buffer says so."""
    assert bench.append(b"a", b"b") == Appended(0, 1, -1, 0, duplicate=False)
    batch = build_batch([NewRecord(None, b"c")], timestamp=NOW)
    assert bench.log.append(memoryview(batch), leader_epoch=7) == Appended(2, 2, -1, 0, duplicate=False)
    assert (parse_header(batch).base_offset, parse_header(batch).leader_epoch) == (2, 7)
    assert (bench.log.next_offset, bench.log.high_watermark, bench.log.last_stable_offset) == (3, 3, 3)


def test_kafka_python_reads_our_segment_file(bench: LogBench) -> None:
    """The .log file is a sequence of valid batches to an independent reader."""
    for n in range(10):
        bench.append(*(b"%d-%d" % (n, i) for i in range(n + 1)), compression=Compression(n % 2))
    records = MemoryRecords((bench.directory / "00000000000000000000.log").read_bytes())
    read = []
    while (batch := records.next_batch()) is not None:
        assert isinstance(batch, DefaultRecordBatch)
        assert batch.validate_crc()
        read += [(record.offset, record.value) for record in batch]
    assert read == [(record.offset, record.value) for record in bench.records()]
    assert len(read) == 55


def test_an_append_is_one_write(bench: LogBench) -> None:
    """A batch, however many records it has, reaches the file in one call."""
    bench.append()
    writes = bench.files.writes
    bench.append(*(b"x" * 1000 for _ in range(500)))
    assert bench.files.writes == writes + 1


def test_log_append_time_replaces_the_producers_time(bench: LogBench) -> None:
    """The answer and every record have the broker's clock."""
    bench.configure(message_timestamp_type=TimestampType.LOG_APPEND_TIME)
    assert bench.append(b"a", b"b", timestamp=12).log_append_time_ms == NOW
    assert [record.timestamp for record in bench.records()] == [NOW, NOW]


@pytest.mark.parametrize("position", [16, 17, 70])
def test_a_damaged_batch_is_refused(bench: LogBench, position: int) -> None:
    """A magic that is no format, a wrong CRC, a changed record: CORRUPT_MESSAGE. The log stays empty."""
    batch = build_batch([NewRecord(b"key", b"value" * 10)], timestamp=NOW)
    batch[position] ^= 1
    with pytest.raises(CorruptMessage):
        bench.append_batch(batch)
    assert bench.log.next_offset == 0


@pytest.mark.parametrize("magic", [0, 1])
def test_an_old_format_is_refused(bench: LogBench, magic: int) -> None:
    """Formats 0 and 1 are INVALID_RECORD."""
    batch = build_batch([NewRecord(b"key", b"value")], timestamp=NOW)
    batch[16] = magic
    with pytest.raises(NotOneBatch):
        bench.append_batch(batch)


@pytest.mark.parametrize("size", [0, 1, 12, 60, 61, 70])
def test_a_batch_that_is_cut_off_is_no_batch(bench: LogBench, size: int) -> None:
    """Fewer bytes than the length says are INVALID_RECORD, down to none, as in Apache Kafka."""
    batch = build_batch([NewRecord(b"key", b"value" * 10)], timestamp=NOW)
    with pytest.raises(NotOneBatch) as refused:
        bench.append_batch(batch[:size])
    assert refused.value.code is ErrorCode.INVALID_RECORD


def test_offsets_are_the_logs_to_give(bench: LogBench) -> None:
    """A client's batch begins at offset 0, whatever it becomes in the log."""
    batch = build_batch([NewRecord(b"key", b"value")], timestamp=NOW, base_offset=7)
    with pytest.raises(InvalidRecord, match="base offset of 7"):
        bench.append_batch(batch)


def test_two_batches_for_one_partition_are_refused(bench: LogBench) -> None:
    """A request carries exactly one batch a partition (format 2)."""
    batch = build_batch([NewRecord(b"key", b"value")], timestamp=NOW)
    with pytest.raises(InvalidRecord, match="exactly one"):
        bench.append_batch(batch + batch)


def test_sizes_above_the_topics_limits_are_refused_with_both_numbers(bench: LogBench) -> None:
    """max.message.bytes and segment.bytes each have their error; the limit itself is taken."""
    batch = build_batch([NewRecord(b"key", b"x" * 1000)], timestamp=NOW)
    bench.configure(max_message_bytes=len(batch) - 1)
    with pytest.raises(MessageTooLarge, match=rf"{len(batch)} bytes, the topic takes {len(batch) - 1}"):
        bench.append_batch(bytearray(batch))
    bench.configure(max_message_bytes=len(batch), segment_bytes=len(batch) - 1)
    with pytest.raises(RecordListTooLarge, match=r"segment\.bytes"):
        bench.append_batch(bytearray(batch))
    bench.configure(segment_bytes=len(batch))
    assert bench.append_batch(batch).base_offset == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"record_count": 2},
        {"record_count": 0, "last_offset_delta": -1},
        {"last_offset_delta": -5},
        {"attributes": 0x20},
        {"attributes": 0x10},
        {"producer_id": 4},
        {"producer_id": 4, "producer_epoch": 0},
    ],
)
def test_a_header_that_breaks_a_rule_is_invalid(bench: LogBench, fields: dict[str, int]) -> None:
    """Counts that disagree, control batches, a transaction without a producer, a producer without sequences."""
    batch = build_batch([NewRecord(b"key", b"value")], timestamp=NOW)
    with pytest.raises(InvalidRecord):
        bench.append_batch(resealed(batch, **fields))


def test_a_sequence_without_a_producer_means_nothing(bench: LogBench) -> None:
    """aiokafka sends sequence 0 from every producer, also from one that is not idempotent."""
    batch = resealed(build_batch([NewRecord(b"key", b"value")], timestamp=NOW), base_sequence=0)
    assert bench.append_batch(batch).base_offset == 0
    assert bench.append_batch(batch).base_offset == 1


def test_an_unknown_compression_code_is_refused(bench: LogBench) -> None:
    """Codes 5 to 7 are UNSUPPORTED_COMPRESSION_TYPE."""
    with pytest.raises(UnsupportedCompression, match="code 5"):
        bench.append_batch(resealed(build_batch([NewRecord(None, b"v")], timestamp=NOW), attributes=5))


def test_timestamps_outside_the_topics_bounds_are_refused(bench: LogBench) -> None:
    """Each bound is inclusive; -1 (none) is always taken; with LogAppendTime nothing is checked."""
    bench.configure(message_timestamp_before_max_ms=100, message_timestamp_after_max_ms=50)
    for timestamp in (NOW - 100, NOW + 50, -1):
        bench.append(timestamp=timestamp)
    for timestamp in (NOW - 101, NOW + 51):
        with pytest.raises(InvalidTimestamp, match=str(timestamp)):
            bench.append(timestamp=timestamp)
    with pytest.raises(InvalidTimestamp, match="LogAppendTime"):
        bench.append_batch(resealed(build_batch([NewRecord(None, b"v")], timestamp=NOW), attributes=8))
    bench.configure(message_timestamp_type=TimestampType.LOG_APPEND_TIME)
    bench.append(timestamp=NOW + 51)


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.GZIP])
def test_a_compacted_topic_takes_no_record_without_key(bench: LogBench, compression: Compression) -> None:
    """The keyless record is named; with keys the batch is stored."""
    bench.configure(compacts=True)
    keyless = [NewRecord(b"k", b"v"), NewRecord(None, b"w")]
    with pytest.raises(InvalidRecord, match="record 1 has no key"):
        bench.append_batch(build_batch(keyless, timestamp=NOW, compression=compression))
    assert bench.append(b"v", key=b"k", compression=compression).base_offset == 0


def test_a_coordinator_may_write_a_marker_and_a_client_may_not(bench: LogBench) -> None:
    """The same batch, from both."""
    marker = build_marker(Marker(MarkerKind.COMMIT, 0), timestamp=NOW, producer_id=1, producer_epoch=0)
    with pytest.raises(InvalidRecord, match="control"):
        bench.append_batch(bytearray(marker))
    assert bench.append_batch(marker, AppendOrigin.COORDINATOR).base_offset == 0


@pytest.mark.parametrize("room", [0, 1, 60, 61, 90])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_write_that_fails_is_cut_off_and_the_next_one_succeeds(bench: LogBench, room: int, error: int) -> None:
    """Disk full in a batch: refused, nothing of it left, reads go on, writes resume when there is room."""
    bench.append(b"before")
    size = bench.log.size
    bench.files.room, bench.files.write_error = room, error
    with pytest.raises(StorageError, match="orders-0") as refused:
        bench.append(b"lost" * 20)
    assert refused.value.code is ErrorCode.KAFKA_STORAGE_ERROR
    assert (bench.directory / "00000000000000000000.log").stat().st_size == size
    assert bench.values() == [b"before"]
    bench.files.room = None
    assert bench.append(b"after").base_offset == 1
    assert bench.kill().next_offset == 2
    assert bench.values() == [b"before", b"after"]


def test_a_torn_write_that_cannot_be_cut_off_at_once_is_cut_before_the_next(bench: LogBench) -> None:
    """A disk that fails the truncation as well: the part is never read, and goes first thing when the disk is back."""
    bench.append(b"before")
    bench.files.room, bench.files.truncate_error = 200, errno.ENOSPC
    with pytest.raises(StorageError):
        bench.append(b"lost" * 200)
    with pytest.raises(StorageError):
        bench.append(b"lost again")
    assert bench.values() == [b"before"]
    bench.files.room, bench.files.truncate_error = None, None
    assert bench.append(b"after").base_offset == 1
    assert bench.kill().recovered.bytes_cut == 0
    assert bench.values() == [b"before", b"after"]


def test_a_roll_on_a_full_disk_leaves_the_old_segment_active(tmp_path: Path) -> None:
    """What cannot be rolled is refused; when there is room the same append succeeds, and recovery finds everything."""
    bench = LogBench(tmp_path, segment_bytes=300)
    bench.append(b"x" * 150)
    bench.files.room = 0
    with pytest.raises(StorageError):
        bench.append(b"y" * 150)
    assert bench.file_names(".log") == ["00000000000000000000.log"]
    assert bench.values() == [b"x" * 150]
    bench.files.room = None
    bench.append(b"y" * 150)
    assert bench.file_names(".log") == ["00000000000000000000.log", "00000000000000000001.log"]
    bench.kill(recovery_point=0)
    assert bench.values() == [b"x" * 150, b"y" * 150]
