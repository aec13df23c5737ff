"""The records of __consumer_offsets, byte by byte and back."""

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.groups import LogRecord, partition_for
from broker.groups.records import GroupRecord, OffsetRecord, UnreadableRecord, decode, encode
from broker.groups.values import CommittedOffset, StoredGroup, StoredMember
from broker.identifiers import TopicPartition

_i16 = st.integers(0, 2**15 - 1)
_i32 = st.integers(-(2**31), 2**31 - 1)
_i64 = st.integers(-(2**63), 2**63 - 1)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_members = st.builds(
    StoredMember, _text, st.none() | _text, _text, _text, _i32, _i32, st.binary(max_size=30), st.binary(max_size=30)
)
_groups = st.builds(
    StoredGroup, _text, _i32, st.none() | _text, st.none() | _text, _i64, st.lists(_members, max_size=4).map(tuple)
)
_partitions = st.builds(TopicPartition, _text, _i32)
_commits = st.builds(CommittedOffset, _i64, _i32, _text, _i64)
_records = st.builds(OffsetRecord, _text, _partitions, st.none() | _commits) | st.builds(
    GroupRecord, _text, st.none() | _groups
)


@given(_records)
def test_what_is_written_is_read(record: OffsetRecord | GroupRecord) -> None:
    """Every record comes back as it was."""
    assert decode(encode(record)) == record


@given(_records, st.data())
def test_a_record_cut_anywhere_is_unreadable_and_nothing_worse(
    record: OffsetRecord | GroupRecord, data: st.DataObject
) -> None:
    """Neither another exception nor half a value."""
    whole = encode(record)
    if whole.value:
        cut = data.draw(st.integers(0, len(whole.value) - 1))
        with pytest.raises(UnreadableRecord):
            decode(LogRecord(whole.key, whole.value[:cut]))


def test_a_commit_has_kafkas_bytes() -> None:
    """OffsetCommitKey v1 and OffsetCommitValue v3, written out by hand from Kafka's definitions."""
    record = OffsetRecord("grp", TopicPartition("top", 7), CommittedOffset(42, 5, "m", 1_700_000_000_000))
    assert encode(record) == (
        b"\x00\x01" + b"\x00\x03grp" + b"\x00\x03top" + b"\x00\x00\x00\x07",
        b"\x00\x03" + pack(">qi", 42, 5) + b"\x00\x01m" + pack(">q", 1_700_000_000_000),
    )


@pytest.mark.parametrize(
    "value",
    [
        b"\x00\x00" + pack(">q", 42) + b"\x00\x01m" + pack(">q", 9),
        b"\x00\x01" + pack(">q", 42) + b"\x00\x01m" + pack(">qq", 9, 10),
        b"\x00\x02" + pack(">q", 42) + b"\x00\x01m" + pack(">q", 9),
    ],
)
def test_commits_of_older_versions_are_read(value: bytes) -> None:
    """Values v0 to v2, which older brokers wrote; they know no leader epoch."""
    key = b"\x00\x00\x00\x01g\x00\x01t\x00\x00\x00\x00"
    assert decode(LogRecord(key, value)) == OffsetRecord("g", TopicPartition("t", 0), CommittedOffset(42, -1, "m", 9))


def test_keys_of_other_kinds_are_passed_over() -> None:
    """Share groups, streams groups and whatever comes later share the topic."""
    assert decode(LogRecord(b"\x00\x0b\x00\x01g", b"\x00\x00")) is None


@pytest.mark.parametrize(
    ("group_id", "partition"), [("", 0), ("a", 47), ("my-group", 36), ("console-consumer-12345", 6), ("gruppe-ü", 22)]
)
def test_groups_go_to_the_partition_that_kafka_gives_them(group_id: str, partition: int) -> None:
    """Java's hash of the id modulo 50; the figures are a JVM's."""
    assert partition_for(group_id, 50) == partition
