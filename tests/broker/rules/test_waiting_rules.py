"""What wakes a reader that waits."""

import pytest

from broker.errors import ErrorCode
from broker.handlers.pending import Pending
from broker.topics import Topic
from broker.wire.messages.fetch import FetchPartitionData, FetchResponse
from broker.wire.messages.offsets import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
)
from tests.broker.handlers.conftest import InProcessBroker, batch
from tests.broker.handlers.test_produce_and_fetch import fetch_request, produce


class Waiting:
    """A fetch that is parked."""

    def __init__(self, broker: InProcessBroker, offset: int, *, min_bytes: int = 1) -> None:
        request = fetch_request("t", offset, max_wait_ms=500, min_bytes=min_bytes)
        pending = broker.ask(request, version=12)
        assert isinstance(pending, Pending)
        assert not pending.completed
        self._answers: list[FetchResponse] = []
        pending.then(self._answers.append)

    @property
    def data(self) -> FetchPartitionData | None:
        return self._answers[0].responses[0].partitions[0] if self._answers else None


@pytest.fixture
def topic(in_process: InProcessBroker) -> Topic:
    return in_process.state.catalog.create("t", 1, {})


def test_data_wakes_a_waiting_reader(in_process: InProcessBroker, topic: Topic) -> None:
    """At once, without polling."""
    waiting = Waiting(in_process, 0)
    produce(in_process, "t", batch(b"a"))
    assert waiting.data is not None
    assert waiting.data.high_watermark == 1


def test_deleted_records_wake_the_reader_that_waited_among_them(in_process: InProcessBroker, topic: Topic) -> None:
    """It learns at once that its offset is gone."""
    produce(in_process, "t", batch(b"a"))
    waiting = Waiting(in_process, 0, min_bytes=10_000)
    request = DeleteRecordsRequest(
        topics=[DeleteRecordsTopic(name="t", partitions=[DeleteRecordsPartition(partition_index=0, offset=1)])]
    )
    assert in_process.call(request, DeleteRecordsResponse).topics[0].partitions[0].low_watermark == 1
    assert waiting.data is not None
    assert waiting.data.error_code == ErrorCode.OFFSET_OUT_OF_RANGE


def test_a_deleted_topic_wakes_its_waiting_readers(in_process: InProcessBroker, topic: Topic) -> None:
    """They learn at once that it is gone."""
    waiting = Waiting(in_process, 0)
    in_process.state.catalog.delete(topic)
    assert waiting.data is not None
    assert waiting.data.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_stop_wakes_everybody(in_process: InProcessBroker, topic: Topic) -> None:
    """With what there is."""
    waiting = Waiting(in_process, 0)
    in_process.state.fetches.expire_all()
    assert waiting.data is not None
    assert waiting.data.error_code == ErrorCode.NONE
