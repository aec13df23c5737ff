"""Compaction by its deadline: which log, when, and what is said of one that cannot be compacted."""

import logging
import sys
from pathlib import Path

import pytest

from broker.identifiers import TopicPartition
from broker.records import Compression, NewRecord, build_batch
from broker.server.background import Checkpoints, Retention
from broker.server.compactor import Compactor
from broker.storage import DataDirectory, DiskFileSystem
from broker.topics import Partition
from tests.broker.handlers.conftest import InProcessBroker

COMPACTED = {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01"}


def put(partition: Partition, *values: bytes, key: bytes = b"k", compression: Compression = Compression.NONE) -> None:
    for value in values:
        records = [NewRecord(key, value)]
        now = partition.log._clock.now_ms()
        partition.append(memoryview(build_batch(records, timestamp=now, compression=compression)))
        partition.log.roll()


def values(partition: Partition) -> list[bytes | None]:
    log = partition.log
    return [record.value for batch in log.batches(log.log_start_offset) for record in batch.records()]


def next_check(broker: InProcessBroker, compactor: Compactor) -> None:
    broker.clock.advance_ms(15_000)
    due = compactor.next_deadline()
    assert due is not None
    assert due <= broker.clock.monotonic()
    compactor.expire(broker.clock.monotonic())


def test_every_log_that_is_due_is_compacted_at_the_next_check(tmp_path: Path) -> None:
    """Synced first: what is not on the disk replaces nothing. Topics that are not compacted are left alone."""
    broker = InProcessBroker(tmp_path / "data")
    compactor = Compactor(broker.state)
    tables = broker.state.catalog.create("tables", 2, COMPACTED).partitions
    events = broker.state.catalog.create("events", 1, {}).partitions[0]
    for partition in (*tables, events):
        put(partition, b"1", b"2", b"3")
    next_check(broker, compactor)
    assert [values(partition) for partition in tables] == [[b"3"], [b"3"]]
    assert values(events) == [b"1", b"2", b"3"]
    broker.close()


def test_compaction_can_be_turned_off(tmp_path: Path) -> None:
    broker = InProcessBroker(tmp_path / "data", settings={"log.cleaner.enable": "false"})
    assert Compactor(broker.state).next_deadline() is None
    broker.close()


def test_max_compaction_lag_ms_ends_the_active_segment(tmp_path: Path) -> None:
    """A record does not wait for the next append to be compacted."""
    broker = InProcessBroker(tmp_path / "data")
    compactor = Compactor(broker.state)
    overrides = {**COMPACTED, "max.compaction.lag.ms": "10000"}
    partition = broker.state.catalog.create("t", 1, overrides).partitions[0]
    put(partition, b"1")
    records = [NewRecord(b"k", b"2")]
    partition.append(memoryview(build_batch(records, timestamp=broker.clock.now_ms())))
    next_check(broker, compactor)
    assert values(partition) == [b"2"]
    broker.close()


def test_a_log_whose_codec_is_missing_is_skipped_with_one_line_and_the_others_are_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = InProcessBroker(tmp_path / "data")
    compactor = Compactor(broker.state)
    packed = broker.state.catalog.create("packed", 1, COMPACTED).partitions[0]
    plain = broker.state.catalog.create("plain", 1, COMPACTED).partitions[0]
    put(packed, b"1", b"2", compression=Compression.LZ4)
    put(plain, b"1", b"2")
    monkeypatch.setitem(sys.modules, "cramjam", None)
    with caplog.at_level(logging.ERROR, "broker.compaction"):
        for _ in range(3):
            next_check(broker, compactor)
    (line,) = caplog.messages
    assert "packed-0" in line
    assert "pip install cramjam" in line
    assert values(plain) == [b"2"]
    monkeypatch.undo()
    assert values(packed) == [b"1", b"2"]
    broker.close()


def test_a_topic_that_is_deleted_and_compacted_loses_segments_by_age_as_well(tmp_path: Path) -> None:
    """cleanup.policy=compact,delete: the newest value of a key goes too when it has expired."""
    broker = InProcessBroker(tmp_path / "data")
    compactor, retention = Compactor(broker.state), Retention(broker.state)
    overrides = {**COMPACTED, "cleanup.policy": "compact,delete", "retention.ms": "3600000"}
    partition = broker.state.catalog.create("t", 1, overrides).partitions[0]
    put(partition, b"1", b"2")
    next_check(broker, compactor)
    assert values(partition) == [b"2"]
    broker.clock.advance_ms(3_600_001)
    put(partition, b"new", key=b"other")
    retention.expire(broker.clock.monotonic())
    assert values(partition) == [b"new"]
    assert partition.log.log_start_offset == 2
    broker.close()


def test_how_far_a_log_is_clean_is_written_down_in_kafkas_format(tmp_path: Path) -> None:
    broker = InProcessBroker(tmp_path / "data")
    compactor, checkpoints = Compactor(broker.state), Checkpoints(broker.state)
    partition = broker.state.catalog.create("t", 1, COMPACTED).partitions[0]
    broker.state.catalog.create("other", 1, {})
    put(partition, b"1", b"2")
    next_check(broker, compactor)
    checkpoints.expire(broker.clock.monotonic())
    assert (tmp_path / "data" / "cleaner-offset-checkpoint").read_text() == "0\n1\nt 0 2\n"
    broker.close()
    again = DataDirectory.open(tmp_path / "data", files=DiskFileSystem())
    assert again.clean_offsets() == {TopicPartition("t", 0): 2}
    again.close(clean=False)


def test_a_topic_that_is_deleted_while_it_is_compacted_leaves_nothing_behind(tmp_path: Path) -> None:
    broker = InProcessBroker(tmp_path / "data")
    topic = broker.state.catalog.create("t", 1, COMPACTED)
    partition = topic.partitions[0]
    put(partition, b"1", b"2")
    partition.log.flush()
    compaction = partition.log.compaction_begin(map_bytes_max=1 << 20)
    assert compaction is not None
    compaction.run()
    broker.state.catalog.delete(topic)
    assert not partition.log.compaction_advance(compaction)
    assert not compaction.is_done
    broker.close()
