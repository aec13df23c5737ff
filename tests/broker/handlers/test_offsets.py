"""ListOffsets, OffsetForLeaderEpoch, DeleteRecords."""

import pytest

from broker.errors import ErrorCode
from broker.wire.messages.offsets import (
    DeleteRecordsPartition,
    DeleteRecordsPartitionResult,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
    ListOffsetsPartition,
    ListOffsetsPartitionResponse,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
    OffsetForLeaderEpochEndOffset,
    OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from tests.broker.handlers.conftest import InProcessBroker, batch
from tests.broker.handlers.test_produce_and_fetch import fetch, fetch_request

NOW = 1_700_000_000_000


@pytest.fixture
def log(in_process: InProcessBroker) -> InProcessBroker:
    """Topic t with offsets 0-3 at NOW, NOW+10, NOW+30, NOW+20."""
    partition = in_process.state.catalog.create("t", 1, {}).partitions[0]
    for after in (0, 10, 30, 20):
        partition.append(batch(b"x", timestamp=NOW + after))
    return in_process


def list_offset(
    broker: InProcessBroker, timestamp: int, *, version: int = 11, topic: str = "t", epoch: int = -1
) -> ListOffsetsPartitionResponse:
    asked = ListOffsetsPartition(partition_index=0, timestamp=timestamp, current_leader_epoch=epoch)
    request = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[asked])])
    return broker.call(request, ListOffsetsResponse, version).topics[0].partitions[0]


@pytest.mark.parametrize(
    ("timestamp", "offset", "answered"),
    [
        (-1, 4, -1),
        (-2, 0, -1),
        (-3, 2, NOW + 30),
        (-4, 0, -1),
        (-5, -1, -1),
        (-6, -1, -1),
        (0, 0, NOW),
        (NOW, 0, NOW),
        (NOW + 1, 1, NOW + 10),
        (NOW + 11, 2, NOW + 30),
        (NOW + 25, 2, NOW + 30),
        (NOW + 31, -1, -1),
    ],
)
def test_an_offset_is_found_by_time(log: InProcessBroker, timestamp: int, offset: int, answered: int) -> None:
    """The first record that is not older, though times do not rise with offsets; and the special values."""
    answer = list_offset(log, timestamp)
    assert (answer.error_code, answer.offset, answer.timestamp) == (ErrorCode.NONE, offset, answered)


@pytest.mark.parametrize(("timestamp", "version"), [(-3, 6), (-4, 7), (-5, 8), (-6, 10), (-7, 11)])
def test_a_special_value_that_the_version_does_not_know_is_refused(
    log: InProcessBroker, timestamp: int, version: int
) -> None:
    """UNSUPPORTED_VERSION of the partition, as Kafka."""
    assert list_offset(log, timestamp, version=version).error_code == ErrorCode.UNSUPPORTED_VERSION


def test_list_offsets_refuses_unknown_places_and_other_epochs(log: InProcessBroker) -> None:
    """Each with its code."""
    assert list_offset(log, -1, topic="nope").error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert list_offset(log, -1, epoch=5).error_code == ErrorCode.UNKNOWN_LEADER_EPOCH


def epoch_end(broker: InProcessBroker, leader_epoch: int) -> OffsetForLeaderEpochEndOffset:
    asked = OffsetForLeaderPartition(partition=0, leader_epoch=leader_epoch)
    request = OffsetForLeaderEpochRequest(topics=[OffsetForLeaderTopic(topic="t", partitions=[asked])])
    return broker.call(request, OffsetForLeaderEpochResponse).topics[0].partitions[0]


def test_an_epoch_ends_where_the_next_one_began(log: InProcessBroker) -> None:
    """The current one ends at the log's end; one that nobody has had is unknown."""
    found = log.state.catalog.find("t")
    assert found is not None
    partition = found.partitions[0]
    partition.leader_epoch = 2
    partition.append(batch(b"y"))
    partition.leader_epoch = 3
    assert [(epoch_end(log, epoch).leader_epoch, epoch_end(log, epoch).end_offset) for epoch in (0, 1, 2, 3, 4)] == [
        (0, 4),
        (0, 4),
        (2, 5),
        (3, 5),
        (-1, -1),
    ]


def delete_records(broker: InProcessBroker, offset: int) -> DeleteRecordsPartitionResult:
    asked = DeleteRecordsPartition(partition_index=0, offset=offset)
    request = DeleteRecordsRequest(topics=[DeleteRecordsTopic(name="t", partitions=[asked])])
    return broker.call(request, DeleteRecordsResponse).topics[0].partitions[0]


def test_delete_records_moves_the_start_of_the_log(log: InProcessBroker) -> None:
    """-1 is the high watermark; beyond it nothing is deleted; below it nothing is read any more."""
    assert delete_records(log, 2).low_watermark == 2
    assert list_offset(log, -2).offset == 2
    assert fetch(log, fetch_request("t", 1)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert delete_records(log, 9).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert delete_records(log, -1).low_watermark == 4
    assert list_offset(log, -2).offset == 4
