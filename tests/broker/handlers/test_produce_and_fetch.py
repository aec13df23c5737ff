"""Produce and Fetch on one thread and a manual clock."""

from pathlib import Path

import pytest

from broker.errors import ErrorCode
from broker.handlers.context import ConnectionMustClose
from broker.handlers.pending import Pending
from broker.records import Compression, iterate_batches
from broker.storage import LogSlice
from broker.topics import Topic
from broker.wire.messages.fetch import (
    FetchPartition,
    FetchPartitionData,
    FetchRequest,
    FetchResponse,
    FetchTopic,
)
from broker.wire.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from tests.broker.handlers.conftest import HeldBackground, InProcessBroker, batch


def produce_request(topic: str, records: memoryview | None, *, acks: int = -1, partition: int = 0) -> ProduceRequest:
    return ProduceRequest(
        acks=acks,
        timeout_ms=1000,
        topic_data=[
            TopicProduceData(name=topic, partition_data=[PartitionProduceData(index=partition, records=records)])
        ],
    )


def produce(
    broker: InProcessBroker, topic: str, records: memoryview | None, *, partition: int = 0, acks: int = -1
) -> PartitionProduceResponse:
    request = produce_request(topic, records, partition=partition, acks=acks)
    return broker.call(request, ProduceResponse, version=9).responses[0].partition_responses[0]


def fetch_request(
    topic: Topic | str, offset: int, *, max_wait_ms: int = 0, min_bytes: int = 1, partition: int = 0, **fields: int
) -> FetchRequest:
    name = topic if isinstance(topic, str) else topic.name
    max_bytes = fields.pop("max_bytes", 1 << 20)
    asked = FetchPartition(partition=partition, fetch_offset=offset, partition_max_bytes=1 << 20, **fields)
    return FetchRequest(
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        topics=[FetchTopic(topic=name, partitions=[asked])],
    )


def fetch(broker: InProcessBroker, request: FetchRequest) -> FetchPartitionData:
    return broker.call(request, FetchResponse, version=12).responses[0].partitions[0]


def offsets_in(data: FetchPartitionData) -> list[int]:
    records = data.records
    assert isinstance(records, LogSlice)
    found = [record.offset for each in iterate_batches(records.read()) for record in each.records()]
    records.release()
    return found


def test_what_is_produced_is_fetched(in_process: InProcessBroker) -> None:
    """Batches come back whole, under the offsets that were answered."""
    in_process.state.catalog.create("t", 1, {})
    assert produce(in_process, "t", batch(b"a", b"b")).base_offset == 0
    assert produce(in_process, "t", batch(b"c")).base_offset == 2
    data = fetch(in_process, fetch_request("t", 0))
    assert data.high_watermark == 3
    assert offsets_in(data) == [0, 1, 2]


def test_a_fetch_in_the_middle_of_a_batch_returns_the_whole_batch(in_process: InProcessBroker) -> None:
    """The client trims what it has."""
    in_process.state.catalog.create("t", 1, {})
    produce(in_process, "t", batch(b"a", b"b", b"c"))
    assert offsets_in(fetch(in_process, fetch_request("t", 1))) == [0, 1, 2]


def test_the_first_batch_comes_even_when_it_is_larger_than_max_bytes(in_process: InProcessBroker) -> None:
    """KIP-74: a consumer with small limits still gets on."""
    in_process.state.catalog.create("t", 1, {})
    produce(in_process, "t", batch(b"x" * 1000))
    assert offsets_in(fetch(in_process, fetch_request("t", 0, max_bytes=10))) == [0]


def test_an_offset_outside_the_log_is_out_of_range(in_process: InProcessBroker) -> None:
    """Both below the start and above the end; the end itself is a place to wait."""
    in_process.state.catalog.create("t", 1, {})
    produce(in_process, "t", batch(b"a"))
    assert fetch(in_process, fetch_request("t", 2)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert fetch(in_process, fetch_request("t", -1)).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert fetch(in_process, fetch_request("t", 1)).error_code == ErrorCode.NONE


def test_a_fetch_waits_for_data_and_is_woken_by_an_append(in_process: InProcessBroker) -> None:
    """No polling: the append itself completes it."""
    in_process.state.catalog.create("t", 1, {})
    pending = in_process.ask(fetch_request("t", 0, max_wait_ms=500), version=12)
    assert isinstance(pending, Pending)
    assert not pending.completed
    produce(in_process, "t", batch(b"a"))
    assert pending.completed
    assert len(in_process.state.fetches) == 0


def test_a_fetch_waits_for_min_bytes(in_process: InProcessBroker) -> None:
    """One small batch is not enough; enough of them are."""
    in_process.state.catalog.create("t", 1, {})
    pending = in_process.ask(fetch_request("t", 0, max_wait_ms=500, min_bytes=200), version=12)
    assert isinstance(pending, Pending)
    produce(in_process, "t", batch(b"a"))
    assert not pending.completed
    for _ in range(3):
        produce(in_process, "t", batch(b"a" * 50))
    assert pending.completed


def test_a_fetch_is_answered_with_what_there_is_when_its_time_is_over(in_process: InProcessBroker) -> None:
    """max_wait_ms is kept by the purgatory's deadline."""
    in_process.state.catalog.create("t", 1, {})
    pending = in_process.ask(fetch_request("t", 0, max_wait_ms=500), version=12)
    assert isinstance(pending, Pending)
    in_process.clock.advance_ms(499)
    in_process.state.fetches.expire(in_process.clock.monotonic())
    assert not pending.completed
    in_process.clock.advance_ms(1)
    in_process.state.fetches.expire(in_process.clock.monotonic())
    assert pending.completed


def test_deleting_a_topic_wakes_its_parked_fetches(in_process: InProcessBroker) -> None:
    """They learn that it is gone."""
    topic = in_process.state.catalog.create("t", 1, {})
    pending = in_process.ask(fetch_request("t", 0, max_wait_ms=500), version=12)
    assert isinstance(pending, Pending)
    in_process.state.catalog.delete(topic)
    answers: list[FetchResponse] = []
    pending.then(answers.append)
    assert answers[0].responses[0].partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_topics_are_fetched_and_produced_by_id(in_process: InProcessBroker) -> None:
    """From v13 on; an id that nobody has is UNKNOWN_TOPIC_ID."""
    topic = in_process.state.catalog.create("t", 1, {})
    request = produce_request("", batch(b"a"))
    request.topic_data[0].topic_id = topic.id
    answer = in_process.call(request, ProduceResponse, version=13)
    assert answer.responses[0].partition_responses[0].error_code == ErrorCode.NONE
    asked = fetch_request("", 0)
    asked.topics[0].topic_id = topic.id
    assert offsets_in(in_process.call(asked, FetchResponse, version=18).responses[0].partitions[0]) == [0]
    in_process.state.catalog.delete(topic)
    gone = in_process.call(asked, FetchResponse, version=18).responses[0].partitions[0]
    assert gone.error_code == ErrorCode.UNKNOWN_TOPIC_ID


def test_a_client_with_another_leader_epoch_is_fenced(in_process: InProcessBroker) -> None:
    """An older epoch is FENCED_LEADER_EPOCH, a newer one UNKNOWN_LEADER_EPOCH."""
    in_process.state.catalog.create("t", 1, {}).partitions[0].leader_epoch = 3
    fenced = fetch(in_process, fetch_request("t", 0, current_leader_epoch=2))
    assert fenced.error_code == ErrorCode.FENCED_LEADER_EPOCH
    unknown = fetch(in_process, fetch_request("t", 0, current_leader_epoch=4))
    assert unknown.error_code == ErrorCode.UNKNOWN_LEADER_EPOCH
    assert fetch(in_process, fetch_request("t", 0, current_leader_epoch=3)).error_code == ErrorCode.NONE


def test_unknown_places_are_refused_one_by_one(in_process: InProcessBroker) -> None:
    """The neighbours in the same request succeed."""
    in_process.state.catalog.create("t", 1, {})
    request = produce_request("t", batch(b"a"))
    request.topic_data = [
        *request.topic_data,
        TopicProduceData(name="t", partition_data=[PartitionProduceData(index=1, records=batch(b"b"))]),
        TopicProduceData(name="nope", partition_data=[PartitionProduceData(index=0, records=batch(b"c"))]),
    ]
    answer = in_process.call(request, ProduceResponse, version=9)
    errors = [each.partition_responses[0].error_code for each in answer.responses]
    assert errors == [
        ErrorCode.NONE,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ]


def test_a_corrupt_batch_is_refused(in_process: InProcessBroker) -> None:
    """CORRUPT_MESSAGE, with words, and nothing in the log."""
    in_process.state.catalog.create("t", 1, {})
    corrupt = batch(b"hello")
    corrupt[-1] ^= 0xFF
    answer = produce(in_process, "t", corrupt)
    assert answer.error_code == ErrorCode.CORRUPT_MESSAGE
    assert answer.error_message
    assert fetch(in_process, fetch_request("t", 0)).high_watermark == 0


def test_zstd_is_refused_below_produce_v7(in_process: InProcessBroker) -> None:
    """A client that old could not tell its readers what they get."""
    in_process.state.catalog.create("t", 1, {})
    records = batch(b"hello")
    records[22] = Compression.ZSTD
    answer = in_process.call(produce_request("t", records), ProduceResponse, version=6)
    assert answer.responses[0].partition_responses[0].error_code == ErrorCode.UNSUPPORTED_COMPRESSION_TYPE


@pytest.mark.parametrize("acks", [2, -2])
def test_acks_other_than_0_1_and_all_are_refused(in_process: InProcessBroker, acks: int) -> None:
    """INVALID_REQUIRED_ACKS, and nothing is written."""
    in_process.state.catalog.create("t", 1, {})
    assert produce(in_process, "t", batch(b"a"), acks=acks).error_code == ErrorCode.INVALID_REQUIRED_ACKS


def test_acks_0_is_not_answered_and_closes_the_connection_when_it_fails(in_process: InProcessBroker) -> None:
    """There is no other way to tell."""
    in_process.state.catalog.create("t", 1, {})
    assert in_process.ask(produce_request("t", batch(b"a"), acks=0), version=9) is None
    assert fetch(in_process, fetch_request("t", 0)).high_watermark == 1
    with pytest.raises(ConnectionMustClose, match="UNKNOWN_TOPIC_OR_PARTITION"):
        in_process.ask(produce_request("nope", batch(b"a"), acks=0), version=9)


def test_internal_topics_are_written_by_the_broker_only(in_process: InProcessBroker) -> None:
    """As Kafka: INVALID_TOPIC_EXCEPTION."""
    in_process.state.catalog.create("__consumer_offsets", 1, {})
    answer = produce(in_process, "__consumer_offsets", batch(b"a"))
    assert answer.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION


def test_a_repeated_batch_is_answered_with_its_first_offset(in_process: InProcessBroker) -> None:
    """An idempotent producer that missed an answer asks again."""
    in_process.state.catalog.create("t", 1, {})
    for _ in range(2):
        records = batch(b"a", producer_id=1, producer_epoch=0, base_sequence=0)
        answer = produce(in_process, "t", records)
        assert (answer.error_code, answer.base_offset) == (ErrorCode.NONE, 0)
    assert fetch(in_process, fetch_request("t", 0)).high_watermark == 1


def test_one_fsync_answers_every_append_that_waits(tmp_path: Path) -> None:
    """With flush.before.ack nobody is answered, and nobody reads, before the round is over."""
    held = HeldBackground()
    broker = InProcessBroker(tmp_path / "data", background=held)
    broker.state.catalog.create("t", 2, {"flush.before.ack": "true"})
    parked = broker.ask(fetch_request("t", 0, max_wait_ms=500), version=12)
    assert isinstance(parked, Pending)
    waiting = [broker.ask(produce_request("t", batch(b"a"), partition=number % 2), version=9) for number in range(10)]
    assert all(isinstance(each, Pending) and not each.completed for each in waiting)
    assert not parked.completed
    held.release()
    late = broker.ask(produce_request("t", batch(b"late")), version=9)
    held.release()
    assert all(isinstance(each, Pending) and each.completed for each in waiting)
    assert parked.completed
    assert broker.state.flushes.rounds == 1
    assert isinstance(late, Pending)
    assert not late.completed
    held.release()
    held.release()
    assert late.completed
    assert broker.state.flushes.rounds == 2
    broker.close()


def test_acks_0_on_a_topic_with_flush_before_ack_becomes_readable(tmp_path: Path) -> None:
    """Nobody waits for the fsync, but the high watermark does."""
    broker = InProcessBroker(tmp_path / "data")
    broker.state.catalog.create("t", 1, {"flush.before.ack": "true"})
    assert broker.ask(produce_request("t", batch(b"a"), acks=0), version=9) is None
    assert fetch(broker, fetch_request("t", 0)).high_watermark == 1
    broker.close()


def test_flush_ms_brings_appends_to_the_disk_in_time(tmp_path: Path) -> None:
    """The flush has a deadline of its own; nobody polls for it."""
    broker = InProcessBroker(tmp_path / "data")
    log = broker.state.catalog.create("t", 1, {"flush.ms": "100"}).partitions[0].log
    produce(broker, "t", batch(b"a"))
    due = broker.state.flushes.next_deadline()
    assert due is not None
    assert log.recovery_point == 0
    broker.clock.advance_ms(100)
    broker.state.flushes.expire(broker.clock.monotonic())
    assert log.recovery_point == 1
    assert broker.state.flushes.next_deadline() is None
    broker.close()
