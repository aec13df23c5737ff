"""Transaction markers."""

import pytest

from broker.records import CorruptBatch, Marker, MarkerKind, Record, build_marker, iterate_batches, parse_marker


@pytest.mark.parametrize("kind", list(MarkerKind))
def test_a_marker_is_one_control_record_of_its_producer(kind: MarkerKind) -> None:
    """It reads back, with the control and transactional bits set and no sequence."""
    marker = Marker(kind, coordinator_epoch=6)
    (batch,) = iterate_batches(build_marker(marker, timestamp=8, producer_id=5, producer_epoch=2))
    assert batch.header.is_control
    assert batch.header.is_transactional
    assert (batch.header.producer_id, batch.header.producer_epoch, batch.header.base_sequence) == (5, 2, -1)
    assert [parse_marker(record) for record in batch.records()] == [marker]


def test_the_markers_bytes_are_kafkas() -> None:
    """Key and value as Kafka's ControlRecordType and EndTransactionMarker write them."""
    (batch,) = iterate_batches(build_marker(Marker(MarkerKind.COMMIT, 3), timestamp=8, producer_id=5, producer_epoch=2))
    (record,) = batch.records()
    assert (record.key, record.value) == (bytes.fromhex("00000001"), bytes.fromhex("000000000003"))


@pytest.mark.parametrize(
    ("key", "value"), [(None, b"\0" * 6), (b"\0\0", b"\0" * 6), (b"\0" * 4, None), (b"\0\0\0\7", b"\0" * 6)]
)
def test_a_record_that_is_no_marker_is_corrupt(key: bytes | None, value: bytes | None) -> None:
    """Too short, or of an unknown type."""
    with pytest.raises(CorruptBatch, match="offset 4"):
        parse_marker(Record(4, 0, key, value, ()))
