"""Record batches, held against kafka-python's builder and reader."""

import contextlib
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from broker.records import Compression, CorruptBatch, NewRecord, RecordBatch, build_batch, iterate_batches, parse_header

NULLABLE = st.none() | st.binary(max_size=40)
RECORDS = st.lists(
    st.builds(
        NewRecord,
        key=NULLABLE,
        value=NULLABLE,
        timestamp=st.integers(0, 2**45),
        headers=st.lists(st.tuples(st.text(max_size=8), NULLABLE), max_size=3).map(tuple),
    ),
    min_size=1,
    max_size=8,
)


def built_by_kafka_python(records: Sequence[NewRecord], compression: int = 0, **fields: int | bool) -> bytes:
    """The same records as kafka-python encodes them."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=compression,
        is_transactional=bool(fields.get("is_transactional", False)),
        producer_id=int(fields.get("producer_id", -1)),
        producer_epoch=int(fields.get("producer_epoch", -1)),
        base_sequence=int(fields.get("base_sequence", -1)),
        batch_size=1 << 30,
    )
    for index, record in enumerate(records):
        builder.append(index, record.timestamp, record.key, record.value, list(record.headers))
    return bytes(builder.build())


@given(RECORDS)
def test_our_batches_equal_kafka_pythons_byte_for_byte(records: list[NewRecord]) -> None:
    """The builder writes the same bytes as an independent one."""
    assert bytes(build_batch(records, timestamp=0, leader_epoch=0)) == built_by_kafka_python(records)


@given(RECORDS, st.sampled_from([Compression.NONE, Compression.GZIP]))
def test_kafka_python_reads_what_we_build(records: list[NewRecord], compression: Compression) -> None:
    """Keys, values, headers, offsets and timestamps come back from an independent reader, CRC checked."""
    batch = build_batch(records, timestamp=0, base_offset=41, compression=compression, producer_id=7, producer_epoch=1)
    theirs = DefaultRecordBatch(bytes(batch))
    assert theirs.validate_crc()
    read = [(r.offset, r.timestamp, r.key, r.value, tuple(r.headers)) for r in theirs]
    assert read == [(41 + i, r.timestamp, r.key, r.value, r.headers) for i, r in enumerate(records)]


@given(RECORDS, st.sampled_from([0, 1]))
def test_we_read_what_kafka_python_builds(records: list[NewRecord], compression: int) -> None:
    """The header's fields and every record of a batch from an independent builder."""
    data = built_by_kafka_python(records, compression, producer_id=9, producer_epoch=3, base_sequence=100)
    (batch,) = iterate_batches(data)
    assert (batch.header.producer_id, batch.header.producer_epoch, batch.header.base_sequence) == (9, 3, 100)
    assert (batch.header.size, batch.header.last_offset) == (len(data), len(records) - 1)
    assert [NewRecord(r.key, r.value, r.timestamp, r.headers) for r in batch.records()] == records


def test_batches_behind_each_other_are_found_one_by_one() -> None:
    """Iteration steps by the batch length."""
    data = b"".join(bytes(build_batch([NewRecord(None, b"v" * n)], timestamp=1, base_offset=n)) for n in range(5))
    assert [batch.header.base_offset for batch in iterate_batches(data)] == [0, 1, 2, 3, 4]


def test_a_batch_cut_at_any_byte_is_corrupt() -> None:
    """No prefix of a batch passes for a batch."""
    data = bytes(build_batch([NewRecord(b"key", b"value")], timestamp=1))
    for size in range(1, len(data)):
        with pytest.raises(CorruptBatch):
            list(iterate_batches(data[:size]))


def test_every_flipped_bit_behind_the_length_is_found() -> None:
    """The CRC covers attributes to end; magic and CRC are checked themselves; only the leader epoch may change."""
    data = bytes(build_batch([NewRecord(b"key", b"value")], timestamp=1))
    for position, bit in itertools.product([*range(8, 12), *range(16, len(data))], range(8)):
        broken = bytearray(data)
        broken[position] ^= 1 << bit
        with pytest.raises(CorruptBatch):
            list(iterate_batches(broken))


@given(st.binary(max_size=200), st.integers(1, 5))
def test_garbage_records_raise_only_corrupt_batch(body: bytes, count: int) -> None:
    """Whatever lies behind a header, reading its records ends in records or in CorruptBatch."""
    batch = build_batch([NewRecord(None, None)] * count, timestamp=1)
    header = parse_header(batch)
    with contextlib.suppress(CorruptBatch):
        records = list(RecordBatch(header, memoryview(bytes(batch[:61]) + body)).records())
        assert len(records) == count


def test_a_header_count_larger_than_its_bytes_is_refused_before_anything_is_allocated() -> None:
    """A record that claims two billion headers in ten bytes is corrupt."""
    body = bytes([0, 0, 0, 1, 1]) + bytes([0xFE, 0xFF, 0xFF, 0xFF, 0x0F])
    header = parse_header(build_batch([NewRecord(None, None)], timestamp=1))
    data = memoryview(bytes(61) + bytes([len(body) * 2]) + body)
    with pytest.raises(CorruptBatch, match="headers"):
        list(RecordBatch(header, data).records())


def test_a_batch_has_at_least_one_record() -> None:
    """The builder refuses none."""
    with pytest.raises(ValueError, match="at least one"):
        build_batch([], timestamp=1)
