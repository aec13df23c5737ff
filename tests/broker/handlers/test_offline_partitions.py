"""A disk that fails under one partition: that one is offline with its error, and everything else goes on."""

import errno
from pathlib import Path

import pytest

from broker.errors import ErrorCode
from broker.storage.errors import StorageError
from broker.wire.messages.cluster import DescribeLogDirsRequest, DescribeLogDirsResponse
from broker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from broker.wire.messages.offsets import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from broker.wire.messages.transaction_admin import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    DescribeProducersTopicRequest,
)
from tests.broker.handlers.conftest import InProcessBroker, batch
from tests.broker.handlers.test_produce_and_fetch import fetch, fetch_request, offsets_in, produce
from tests.broker.storage.faulty_files import FaultyFileSystem


def log_dirs(broker: InProcessBroker) -> dict[str, tuple[int, list[tuple[int, int]]]]:
    """By directory name: its error, and (partition, size) of what it has."""
    answer = broker.call(DescribeLogDirsRequest(topics=None), DescribeLogDirsResponse)
    return {
        Path(result.log_dir).name: (
            result.error_code,
            [(each.partition_index, each.partition_size) for topic in result.topics for each in topic.partitions],
        )
        for result in answer.results
    }


def offline_replicas(broker: InProcessBroker) -> list[list[int]]:
    request = MetadataRequest(topics=[MetadataRequestTopic(name="t")])
    partitions = broker.call(request, MetadataResponse, version=9).topics[0].partitions
    return [list(each.offline_replicas) for each in partitions]


def list_offset(broker: InProcessBroker, partition: int) -> tuple[int, int]:
    asked = ListOffsetsPartition(partition_index=partition, timestamp=-2)
    request = ListOffsetsRequest(topics=[ListOffsetsTopic(name="t", partitions=[asked])])
    found = broker.call(request, ListOffsetsResponse, version=5).topics[0].partitions[0]
    return found.error_code, found.offset


def delete_records(broker: InProcessBroker, *partitions: int, offset: int = 1) -> list[tuple[int, int]]:
    request = DeleteRecordsRequest(
        topics=[
            DeleteRecordsTopic(
                name="t",
                partitions=[DeleteRecordsPartition(partition_index=each, offset=offset) for each in partitions],
            )
        ]
    )
    answer = broker.call(request, DeleteRecordsResponse)
    return [(each.error_code, each.low_watermark) for each in answer.topics[0].partitions]


def filled(data_dir: Path, files: FaultyFileSystem) -> InProcessBroker:
    broker = InProcessBroker(data_dir, files=files)
    broker.state.catalog.create("t", 3, {})
    for partition in range(3):
        for _ in range(2):
            assert produce(broker, "t", batch(b"v"), partition=partition).error_code == ErrorCode.NONE
    return broker


def test_a_partition_whose_disk_fails_takes_no_appends_and_is_seen_to(tmp_path: Path) -> None:
    """KAFKA_STORAGE_ERROR with the disk's words, also when the disk is well again; the others are written and read."""
    files = FaultyFileSystem()
    broker = filled(tmp_path / "data", files)
    files.only_below, files.room, files.write_error = tmp_path / "data" / "t-1", 0, errno.EIO
    refused = produce(broker, "t", batch(b"lost"), partition=1)
    assert refused.error_code == ErrorCode.KAFKA_STORAGE_ERROR
    files.room = None
    refused = produce(broker, "t", batch(b"lost"), partition=1)
    assert refused.error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert "Input/output error" in (refused.error_message or "")
    assert offsets_in(fetch(broker, fetch_request("t", 0, partition=1))) == [0, 1]
    for sound in (0, 2):
        assert produce(broker, "t", batch(b"v"), partition=sound).base_offset == 2
    size = len(batch(b"v"))
    assert log_dirs(broker) == {
        "data": (ErrorCode.NONE, [(0, 3 * size), (2, 3 * size)]),
        "t-1": (ErrorCode.KAFKA_STORAGE_ERROR, [(1, 2 * size)]),
    }
    assert offline_replicas(broker) == [[], [1], []]
    broker.close(clean=False)
    again = InProcessBroker(tmp_path / "data")
    assert produce(again, "t", batch(b"v"), partition=1).base_offset == 2
    assert offline_replicas(again) == [[], [], []]
    again.close()


@pytest.mark.parametrize("clean", [True, False])
def test_a_partition_that_cannot_be_opened_is_offline_and_the_broker_starts(tmp_path: Path, *, clean: bool) -> None:
    """Every request for it is answered with KAFKA_STORAGE_ERROR, and what the checkpoints know of it is kept."""
    files = FaultyFileSystem()
    broker = filled(tmp_path / "data", files)
    assert delete_records(broker, 1) == [(ErrorCode.NONE, 1)]
    broker.close(clean=clean)
    files.only_below, files.read_error = tmp_path / "data" / "t-1", errno.EIO
    half = InProcessBroker(tmp_path / "data", files=files)
    topic = half.state.catalog.find("t")
    assert topic is not None
    assert [each.index for each in half.state.catalog.unopened()] == [1]
    assert produce(half, "t", batch(b"lost"), partition=1).error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert fetch(half, fetch_request("t", 1, partition=1)).error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert list_offset(half, 1) == (ErrorCode.KAFKA_STORAGE_ERROR, -1)
    assert delete_records(half, 0, 1) == [(ErrorCode.NONE, 1), (ErrorCode.KAFKA_STORAGE_ERROR, -1)]
    producers = DescribeProducersRequest(topics=[DescribeProducersTopicRequest(name="t", partition_indexes=[1])])
    described = half.call(producers, DescribeProducersResponse).topics[0].partitions[0]
    assert described.error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert log_dirs(half)["t-1"] == (ErrorCode.KAFKA_STORAGE_ERROR, [(1, -1)])
    assert offline_replicas(half) == [[], [1], []]
    assert produce(half, "t", batch(b"v"), partition=0).base_offset == 2
    half.state.catalog.replace_configs(topic, {"retention.ms": "5"})
    half.close(clean=True)
    files.read_error = None
    whole = InProcessBroker(tmp_path / "data", files=files)
    assert offline_replicas(whole) == [[], [], []]
    assert [list_offset(whole, partition) for partition in range(3)] == [(0, 1), (0, 1), (0, 0)]
    assert produce(whole, "t", batch(b"v"), partition=1).base_offset == 2
    whole.close()


def test_a_topic_with_a_partition_that_cannot_be_opened_can_be_deleted(tmp_path: Path) -> None:
    """And a new one of its name has nothing of it."""
    files = FaultyFileSystem()
    filled(tmp_path / "data", files).close()
    files.only_below, files.read_error = tmp_path / "data" / "t-1", errno.EIO
    broker = InProcessBroker(tmp_path / "data", files=files)
    topic = broker.state.catalog.find("t")
    assert topic is not None
    assert len(broker.state.catalog.delete(topic)) == 3
    broker.state.catalog.create("t", 3, {})
    files.read_error = None
    assert produce(broker, "t", batch(b"v"), partition=1).base_offset == 0
    broker.close()


def test_a_damaged_partition_is_offline_and_the_others_are_served(tmp_path: Path) -> None:
    """What was synced has changed on the disk: said, left alone, and no reason to serve nothing."""
    files = FaultyFileSystem()
    before = filled(tmp_path / "data", files)
    topic = before.state.catalog.find("t")
    assert topic is not None
    topic.partitions[1].log.roll()
    before.close()
    damaged = tmp_path / "data" / "t-1" / "00000000000000000000.log"
    damaged.write_bytes(b"\xff" * damaged.stat().st_size)
    content = damaged.read_bytes()
    for path in damaged.parent.glob("*.*index"):
        path.unlink()
    broker = InProcessBroker(tmp_path / "data", files=files)
    assert [each.index for each in broker.state.catalog.unopened()] == [1]
    assert fetch(broker, fetch_request("t", 0, partition=1)).error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert offsets_in(fetch(broker, fetch_request("t", 0, partition=2))) == [0, 1]
    assert damaged.read_bytes() == content
    broker.close()


def test_what_concerns_the_whole_disk_stops_the_start_with_words(tmp_path: Path) -> None:
    """A thousand offline partitions would help nobody: the disk is full or read-only, and that is what is said."""
    files = FaultyFileSystem()
    filled(tmp_path / "data", files).close(clean=False)
    files.read_only = True
    with pytest.raises(StorageError, match="Read-only file system"):
        InProcessBroker(tmp_path / "data", files=files)


def test_deleted_records_that_cannot_be_written_down_are_answered_so(tmp_path: Path) -> None:
    """Otherwise a crash would bring them back unasked."""
    files = FaultyFileSystem()
    broker = filled(tmp_path / "data", files)
    files.room = 0
    assert delete_records(broker, 0, 1) == [(ErrorCode.KAFKA_STORAGE_ERROR, -1)] * 2
    files.room = None
    assert delete_records(broker, 0, 1) == [(ErrorCode.NONE, 1)] * 2
    broker.directory.close(clean=False)
    again = InProcessBroker(tmp_path / "data")
    assert [list_offset(again, partition) for partition in range(3)] == [(0, 1), (0, 1), (0, 0)]
    again.close()
