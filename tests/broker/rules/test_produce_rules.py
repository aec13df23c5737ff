"""What a trusted broker refuses to store: the test's name is the rule, the wire's answer is its proof."""

from pathlib import Path

import pytest

from broker.errors import ErrorCode
from broker.records import Compression, NewRecord, build_batch
from broker.wire.messages.produce import PartitionProduceResponse
from tests.broker.handlers.conftest import InProcessBroker, batch
from tests.broker.handlers.test_produce_and_fetch import fetch, fetch_request, offsets_in, produce

NOW_MS = 1_700_000_000_000
HOUR_MS = 3_600_000


def produce_to(
    broker: InProcessBroker, records: memoryview | bytearray, configs: dict[str, str] | None = None
) -> PartitionProduceResponse:
    """The answer to a produce on topic `t`, made with *configs* when it is not there."""
    if broker.state.catalog.find("t") is None:
        broker.state.catalog.create("t", 1, configs or {})
    return produce(broker, "t", memoryview(records))


def end_of(broker: InProcessBroker) -> int:
    return fetch(broker, fetch_request("t", 0)).high_watermark


def test_a_batch_above_max_message_bytes_is_message_too_large(in_process: InProcessBroker) -> None:
    """The default is 1,048,588 bytes, batch header included; a topic may have another."""
    largest = batch(bytes(1_048_588 - len(batch(bytes(1_000_000))) + 1_000_000))
    assert len(largest) == 1_048_588
    assert produce_to(in_process, largest).error_code == ErrorCode.NONE
    larger = batch(bytes(1_048_589 - len(batch(bytes(1_000_000))) + 1_000_000))
    assert produce_to(in_process, larger).error_code == ErrorCode.MESSAGE_TOO_LARGE
    assert end_of(in_process) == 1


def test_a_batch_above_segment_bytes_is_record_list_too_large(in_process: InProcessBroker) -> None:
    """It would fit into no segment."""
    configs = {"segment.bytes": str(1 << 20), "max.message.bytes": str(4 << 20)}
    answer = produce_to(in_process, batch(bytes(1 << 20)), configs)
    assert answer.error_code == ErrorCode.RECORD_LIST_TOO_LARGE
    assert end_of(in_process) == 0


def test_a_request_has_one_batch_for_a_partition(in_process: InProcessBroker) -> None:
    """Two behind each other are INVALID_RECORD, and neither is stored."""
    both = bytearray(batch(b"one")) + bytearray(batch(b"two"))
    assert produce_to(in_process, both).error_code == ErrorCode.INVALID_RECORD
    assert end_of(in_process) == 0


@pytest.mark.parametrize(("last_offset_delta", "count"), [(-1, 0), (0, 2), (1, 1), (-1, 1)])
def test_the_record_count_is_the_last_offset_delta_plus_one(
    in_process: InProcessBroker, last_offset_delta: int, count: int
) -> None:
    """And at least one; otherwise INVALID_RECORD, for offsets would have holes or overlap."""
    from crc32c import crc32c

    records = bytearray(batch(b"value"))
    records[23:27] = last_offset_delta.to_bytes(4, "big", signed=True)
    records[57:61] = count.to_bytes(4, "big", signed=True)
    records[17:21] = crc32c(bytes(records[21:])).to_bytes(4, "big")
    assert produce_to(in_process, records).error_code == ErrorCode.INVALID_RECORD


def test_a_control_batch_from_a_client_is_invalid(in_process: InProcessBroker) -> None:
    """Markers are the coordinator's."""
    from crc32c import crc32c

    records = bytearray(batch(b"value", producer_id=1, producer_epoch=0, base_sequence=0))
    records[22] |= 0x20
    records[17:21] = crc32c(bytes(records[21:])).to_bytes(4, "big")
    assert produce_to(in_process, records).error_code == ErrorCode.INVALID_RECORD


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.GZIP])
def test_a_record_without_a_key_is_invalid_on_a_compacted_topic(
    in_process: InProcessBroker, compression: Compression
) -> None:
    """Compaction could not tell what it replaces; inside of a compressed batch as well."""
    keyless = build_batch([NewRecord(b"k", b"v"), NewRecord(None, b"v")], timestamp=NOW_MS, compression=compression)
    answer = produce_to(in_process, keyless, {"cleanup.policy": "compact"})
    assert answer.error_code == ErrorCode.INVALID_RECORD
    assert produce_to(in_process, batch(b"with a key")).error_code == ErrorCode.NONE


@pytest.mark.parametrize(
    ("timestamp", "error"),
    [
        (NOW_MS + HOUR_MS, ErrorCode.NONE),
        (NOW_MS + HOUR_MS + 1, ErrorCode.INVALID_TIMESTAMP),
        (NOW_MS - 2 * HOUR_MS, ErrorCode.NONE),
        (NOW_MS - 2 * HOUR_MS - 1, ErrorCode.INVALID_TIMESTAMP),
    ],
)
def test_a_timestamp_lies_within_the_topics_bounds(
    in_process: InProcessBroker, timestamp: int, error: ErrorCode
) -> None:
    """message.timestamp.before.max.ms and message.timestamp.after.max.ms, from the broker's time."""
    configs = {
        "message.timestamp.before.max.ms": str(2 * HOUR_MS),
        "message.timestamp.after.max.ms": str(HOUR_MS),
    }
    assert produce_to(in_process, batch(b"v", timestamp=timestamp), configs).error_code == error


def test_a_timestamp_more_than_an_hour_ahead_is_refused_by_default(in_process: InProcessBroker) -> None:
    """As Kafka's default: such a record would keep its segment for a year when its producer's clock is wrong."""
    answer = produce_to(in_process, batch(b"v", timestamp=NOW_MS + HOUR_MS + 1))
    assert answer.error_code == ErrorCode.INVALID_TIMESTAMP
    assert produce_to(in_process, batch(b"v", timestamp=0)).error_code == ErrorCode.NONE


def test_log_append_time_is_the_brokers_and_is_answered(in_process: InProcessBroker) -> None:
    """Whatever the producer says, and however far off it is; CreateTime answers -1."""
    configs = {"message.timestamp.type": "LogAppendTime"}
    answer = produce_to(in_process, batch(b"v", timestamp=NOW_MS + 10 * HOUR_MS), configs)
    assert (answer.error_code, answer.log_append_time_ms) == (ErrorCode.NONE, NOW_MS)
    in_process.state.catalog.create("created", 1, {})
    assert produce(in_process, "created", batch(b"v")).log_append_time_ms == -1


def test_a_sequence_goes_on_where_the_last_batch_ended(in_process: InProcessBroker) -> None:
    """A gap is OUT_OF_ORDER_SEQUENCE_NUMBER; what comes again is answered with its offset, of the last five batches."""

    def send(sequence: int) -> PartitionProduceResponse:
        return produce_to(in_process, batch(b"v", producer_id=7, producer_epoch=0, base_sequence=sequence))

    for sequence in range(6):
        assert send(sequence).base_offset == sequence
    assert send(7).error_code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    for sequence in range(1, 6):
        again = send(sequence)
        assert (again.error_code, again.base_offset) == (ErrorCode.NONE, sequence)
    assert send(0).error_code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert end_of(in_process) == 6


def test_a_new_producer_epoch_begins_at_sequence_0_and_fences_the_one_before(in_process: InProcessBroker) -> None:
    """INVALID_PRODUCER_EPOCH for the older one."""

    def send(epoch: int, sequence: int) -> int:
        records = batch(b"v", producer_id=7, producer_epoch=epoch, base_sequence=sequence)
        return produce_to(in_process, records).error_code

    assert send(0, 0) == ErrorCode.NONE
    assert send(1, 1) == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert send(1, 0) == ErrorCode.NONE
    assert send(0, 1) == ErrorCode.INVALID_PRODUCER_EPOCH


def test_producers_are_known_after_a_restart(tmp_path: Path) -> None:
    """After a clean stop from the snapshot, after a crash from the log: a repeated batch is still no second one."""
    records = bytes(batch(b"v", producer_id=7, producer_epoch=0, base_sequence=0))
    for clean in (True, False, True):
        broker = InProcessBroker(tmp_path / "data")
        answer = produce_to(broker, bytearray(records))
        assert (answer.error_code, answer.base_offset) == (ErrorCode.NONE, 0)
        assert end_of(broker) == 1
        broker.close(clean=clean)


@pytest.mark.parametrize("compression", [Compression.GZIP, Compression.SNAPPY, Compression.LZ4, Compression.ZSTD])
def test_a_compressed_batch_passes_through_unopened(in_process: InProcessBroker, compression: Compression) -> None:
    """Byte for byte as it was sent, but for its base offset and leader epoch; even when nobody here has its codec."""
    from crc32c import crc32c

    records = bytearray(batch(b"not really compressed"))
    records[22] = compression
    records[17:21] = crc32c(bytes(records[21:])).to_bytes(4, "big")
    sent = bytes(records)
    assert produce_to(in_process, records).error_code == ErrorCode.NONE
    slice_ = fetch(in_process, fetch_request("t", 0)).records
    assert not isinstance(slice_, (bytes, memoryview, type(None)))
    stored = slice_.read()
    slice_.release()
    assert stored[16:] == sent[16:]


def test_deleted_records_are_below_the_start_of_the_log(in_process: InProcessBroker) -> None:
    """OFFSET_OUT_OF_RANGE for who asks for them, the rest is there; the offsets stay what they were."""
    for value in (b"a", b"b", b"c"):
        produce_to(in_process, batch(value))
    topic = in_process.state.catalog.find("t")
    assert topic is not None
    assert topic.partitions[0].log.delete_records(2) == 2
    assert fetch(in_process, fetch_request("t", 1)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    data = fetch(in_process, fetch_request("t", 2))
    assert data.log_start_offset == 2
    assert offsets_in(data) == [2]
