"""The metadata log over crashes."""

from pathlib import Path

import pytest

from broker.identifiers import new_topic_id
from broker.storage import DiskFileSystem
from broker.topics.metadata_log import REWRITE_LINES_MIN, MetadataLog, MetadataState, UnsoundMetadata
from broker.topics.metadata_records import (
    ConfigsReplaced,
    EpochBegun,
    MetadataRecord,
    PartitionsAdded,
    ProducerIdsReserved,
    TopicCreated,
    TopicDeleted,
    decode_line,
    encode_line,
)

FILES = DiskFileSystem()
TOPIC = TopicCreated(new_topic_id(), "orders", 3, {"retention.ms": "-1"}, 0)
RECORDS: list[MetadataRecord] = [
    TOPIC,
    PartitionsAdded(TOPIC.id, 5),
    ConfigsReplaced(TOPIC.id, {}),
    ProducerIdsReserved(1000),
    EpochBegun(2),
    TopicDeleted(TOPIC.id, "orders"),
]


def reopen(directory: Path) -> MetadataState:
    log, state = MetadataLog.open(directory, files=FILES)
    log.close()
    return state


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_is_read_as_it_was_written(record: MetadataRecord) -> None:
    """One line of text each."""
    line = encode_line(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_line(line[:-1]) == record


def test_a_line_that_was_torn_or_garbled_is_no_record() -> None:
    """At every byte."""
    line = encode_line(TOPIC)[:-1]
    for cut in range(len(line)):
        assert decode_line(line[:cut]) is None
        assert decode_line(line[:cut] + bytes([line[cut] ^ 1]) + line[cut + 1 :]) is None


def test_a_torn_tail_is_cut_and_everything_before_it_is_kept(tmp_path: Path) -> None:
    """Whatever the crash left of the last line."""
    log, _ = MetadataLog.open(tmp_path, files=FILES)
    log.append([TOPIC])
    whole = (tmp_path / "metadata.log").read_bytes()
    log.append([EpochBegun(7)])
    log.close()
    content = (tmp_path / "metadata.log").read_bytes()
    for cut in range(len(whole), len(content)):
        (tmp_path / "metadata.log").write_bytes(content[:cut])
        state = reopen(tmp_path)
        assert list(state.topics.values()) == [TOPIC]
        assert state.epoch == 0
        assert (tmp_path / "metadata.log").read_bytes() == whole


def test_a_damaged_line_in_the_middle_is_refused_rather_than_forgotten(tmp_path: Path) -> None:
    """The words name the line and the way out."""
    log, _ = MetadataLog.open(tmp_path, files=FILES)
    log.append([TOPIC, EpochBegun(1), EpochBegun(2)])
    log.close()
    content = bytearray((tmp_path / "metadata.log").read_bytes())
    content[20] ^= 1
    (tmp_path / "metadata.log").write_bytes(content)
    with pytest.raises(UnsoundMetadata, match=r"line 1.*backup"):
        reopen(tmp_path)


def test_a_record_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """Its checksum is right, its kind is unknown: guessing would lose something."""
    line = encode_line(EpochBegun(1)).replace(b'"epoch","epoch"', b'"later","epoch"')
    body = line[9:-1]
    from crc32c import crc32c

    (tmp_path / "metadata.log").write_bytes(b"%08x %s\n" % (crc32c(body), body))
    with pytest.raises(UnsoundMetadata, match="newer version"):
        reopen(tmp_path)


def test_the_log_is_rewritten_when_most_of_it_was_overtaken(tmp_path: Path) -> None:
    """The state stays what it was."""
    log, state = MetadataLog.open(tmp_path, files=FILES)
    log.append([TOPIC, *(ProducerIdsReserved(number) for number in range(REWRITE_LINES_MIN))])
    log.close()
    size = (tmp_path / "metadata.log").stat().st_size
    log, state = MetadataLog.open(tmp_path, files=FILES)
    log.rewrite(state)
    log.append([EpochBegun(9)])
    log.close()
    assert (tmp_path / "metadata.log").stat().st_size < size / 10
    after = reopen(tmp_path)
    assert after.topics == state.topics
    assert after.next_producer_id == REWRITE_LINES_MIN - 1
    assert after.epoch == 9
