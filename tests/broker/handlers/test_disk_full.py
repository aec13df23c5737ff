"""No room on the disk: writes are refused, reads go on, and writes go on by themselves when there is room."""

from pathlib import Path

from broker.errors import ErrorCode
from broker.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
    OffsetFetchResponse,
)
from broker.wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse
from tests.broker.handlers.conftest import InProcessBroker, batch
from tests.broker.handlers.test_produce_and_fetch import fetch, fetch_request, offsets_in, produce
from tests.broker.storage.faulty_files import FaultyFileSystem


def test_a_full_disk_refuses_appends_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """KAFKA_STORAGE_ERROR, which clients retry; the half-written batch is cut off again."""
    files = FaultyFileSystem()
    broker = InProcessBroker(tmp_path / "data", files=files)
    broker.state.catalog.create("t", 1, {})
    assert produce(broker, "t", batch(b"first")).base_offset == 0
    log_file = tmp_path / "data" / "t-0" / "00000000000000000000.log"
    size = log_file.stat().st_size
    files.room = 10
    refused = produce(broker, "t", batch(b"second"))
    assert refused.error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert refused.error_message
    assert log_file.stat().st_size == size
    assert offsets_in(fetch(broker, fetch_request("t", 0))) == [0]
    files.room = None
    assert produce(broker, "t", batch(b"second")).base_offset == 1
    assert offsets_in(fetch(broker, fetch_request("t", 0))) == [0, 1]
    broker.close()


def test_a_topic_that_cannot_be_written_down_is_not_created(tmp_path: Path) -> None:
    """Neither now nor after a restart; the same request succeeds when there is room."""
    files = FaultyFileSystem()
    broker = InProcessBroker(tmp_path / "data", files=files)
    request = MetadataRequest(topics=[MetadataRequestTopic(name="t")])
    files.room = 20
    answer = broker.call(request, MetadataResponse, version=9)
    assert answer.topics[0].error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert broker.state.catalog.find("t") is None
    files.room = None
    assert broker.call(request, MetadataResponse, version=9).topics[0].error_code == ErrorCode.NONE
    broker.close(clean=False)
    again = InProcessBroker(tmp_path / "data")
    assert [topic.name for topic in again.state.catalog] == ["t"]
    again.close()


def test_a_failed_fsync_is_answered_with_a_storage_error(tmp_path: Path) -> None:
    """With flush.before.ack nothing is acknowledged that is not on the disk, and nobody reads it."""
    files = FaultyFileSystem()
    broker = InProcessBroker(tmp_path / "data", files=files)
    broker.state.catalog.create("t", 1, {"flush.before.ack": "true"})
    assert produce(broker, "t", batch(b"first")).error_code == ErrorCode.NONE
    files.sync_error = 5
    assert produce(broker, "t", batch(b"second")).error_code == ErrorCode.KAFKA_STORAGE_ERROR
    assert fetch(broker, fetch_request("t", 0)).high_watermark == 1
    files.sync_error = None
    broker.close(clean=False)


def test_a_commit_that_cannot_be_written_is_refused_and_the_old_one_stays(tmp_path: Path) -> None:
    """Offsets are as durable as records: what was acknowledged is there, what was not is not."""
    files = FaultyFileSystem()
    broker = InProcessBroker(tmp_path / "data", files=files)
    broker.state.catalog.create("t", 1, {})
    assert commit(broker, 5) == ErrorCode.NONE
    files.room = 10
    assert commit(broker, 9) != ErrorCode.NONE
    assert committed(broker) == 5
    files.room = None
    assert commit(broker, 9) == ErrorCode.NONE
    assert committed(broker) == 9
    broker.close(clean=False)
    again = InProcessBroker(tmp_path / "data")
    assert committed(again) == 9
    again.close()


def commit(broker: InProcessBroker, offset: int) -> int:
    partition = OffsetCommitRequestPartition(partition_index=0, committed_offset=offset)
    request = OffsetCommitRequest(group_id="g", topics=[OffsetCommitRequestTopic(name="t", partitions=[partition])])
    return broker.call(request, OffsetCommitResponse, version=9).topics[0].partitions[0].error_code


def committed(broker: InProcessBroker) -> int:
    request = OffsetFetchRequest(
        groups=[
            OffsetFetchRequestGroup(group_id="g", topics=[OffsetFetchRequestTopics(name="t", partition_indexes=[0])])
        ]
    )
    return broker.call(request, OffsetFetchResponse, version=9).groups[0].topics[0].partitions[0].committed_offset
