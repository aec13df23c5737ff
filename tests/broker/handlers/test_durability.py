"""Group fsync and its deadlines, for committed offsets as for records."""

from pathlib import Path

from broker.errors import ErrorCode
from broker.handlers.pending import Pending
from broker.topics import Topic
from broker.transactions import GROUP_OFFSETS_TOPIC
from broker.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from tests.broker.handlers.conftest import HeldBackground, InProcessBroker, batch
from tests.broker.storage.faulty_files import FaultyFileSystem

FLUSH = {"log.flush.before.ack": "true"}


def commit_request(offset: int, *, partition: int = 0) -> OffsetCommitRequest:
    asked = OffsetCommitRequestPartition(partition_index=partition, committed_offset=offset)
    return OffsetCommitRequest(group_id="g", topics=[OffsetCommitRequestTopic(name="t", partitions=[asked])])


def error_of(answer: OffsetCommitResponse) -> int:
    return answer.topics[0].partitions[0].error_code


def test_a_commit_is_answered_when_it_is_on_the_disk(tmp_path: Path) -> None:
    """Commits that arrive together share one fsync."""
    held = HeldBackground()
    broker = InProcessBroker(tmp_path / "data", settings=FLUSH, background=held)
    broker.state.catalog.create("t", 1, {})
    answers: list[OffsetCommitResponse | None] = []
    for offset in range(5):
        pending = broker.ask(commit_request(offset), version=9)
        assert isinstance(pending, Pending)
        pending.then(answers.append)
    assert answers == []
    for _ in range(2):
        held.release()
    assert [error_of(each) for each in answers if each is not None] == [ErrorCode.NONE] * 5
    assert broker.state.flushes.rounds == 1
    topic = broker.state.catalog.find(GROUP_OFFSETS_TOPIC)
    assert topic is not None
    assert topic.partitions[0].log.recovery_point == 5
    broker.close()


def test_a_commit_is_answered_at_once_without_flush_before_ack(tmp_path: Path) -> None:
    """As Kafka does: what was answered survives the process, not a loss of power."""
    held = HeldBackground()
    broker = InProcessBroker(tmp_path / "data", background=held)
    broker.state.catalog.create("t", 1, {})
    assert error_of(broker.call(commit_request(1), OffsetCommitResponse, version=9)) == ErrorCode.NONE
    assert held.held == []
    broker.close()


def test_a_refused_commit_waits_for_no_fsync(tmp_path: Path) -> None:
    """There is nothing to bring to the disk."""
    held = HeldBackground()
    broker = InProcessBroker(tmp_path / "data", settings=FLUSH, background=held)
    broker.state.catalog.create("t", 1, {})
    answer = broker.call(commit_request(1, partition=7), OffsetCommitResponse, version=9)
    assert error_of(answer) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    broker.close()


def test_a_commit_whose_fsync_failed_is_not_acknowledged(tmp_path: Path) -> None:
    """COORDINATOR_NOT_AVAILABLE: the client tries again."""
    files = FaultyFileSystem()
    broker = InProcessBroker(tmp_path / "data", settings=FLUSH, files=files)
    broker.state.catalog.create("t", 1, {})
    assert error_of(broker.call(commit_request(1), OffsetCommitResponse, version=9)) == ErrorCode.NONE
    files.sync_error = 5
    refused = broker.call(commit_request(2), OffsetCommitResponse, version=9)
    assert error_of(refused) == ErrorCode.COORDINATOR_NOT_AVAILABLE
    files.sync_error = None
    broker.close(clean=False)


def test_flush_ms_of_the_broker_holds_for_commits_too(tmp_path: Path) -> None:
    """log.flush.interval.ms brings them to the disk in time; nobody waits for it."""
    broker = InProcessBroker(tmp_path / "data", settings={"log.flush.interval.ms": "100"})
    broker.state.catalog.create("t", 1, {})
    broker.call(commit_request(1), OffsetCommitResponse, version=9)
    topic = broker.state.catalog.find(GROUP_OFFSETS_TOPIC)
    assert topic is not None
    assert topic.partitions[0].log.recovery_point == 0
    broker.clock.advance_ms(100)
    broker.state.flushes.expire(broker.clock.monotonic())
    assert topic.partitions[0].log.recovery_point == 1
    broker.close()


def test_the_earliest_flush_is_told_whatever_was_flushed_meanwhile(tmp_path: Path) -> None:
    """By flush.messages one partition is flushed before its time; the alarm waits for the next of the others."""
    broker = InProcessBroker(tmp_path / "data")
    topics = [broker.state.catalog.create(f"t{ms}", 1, {"flush.ms": str(ms)}) for ms in (300, 100, 200)]
    counting = broker.state.catalog.create("counting", 1, {"flush.ms": "50", "flush.messages": "2"})
    flushes, began = broker.state.flushes, broker.clock.monotonic()

    def append(topic: Topic) -> None:
        topic.partitions[0].append(batch(b"v"))
        flushes.schedule(topic.partitions[0])

    def next_ms() -> int | None:
        deadline = flushes.next_deadline()
        return None if deadline is None else round((deadline - began) * 1000)

    for topic in (*topics, counting):
        append(topic)
    assert next_ms() == 50
    append(counting)
    assert next_ms() == 100
    broker.clock.advance_ms(100)
    flushes.expire(broker.clock.monotonic())
    assert next_ms() == 200
    broker.clock.advance_ms(200)
    flushes.expire(broker.clock.monotonic())
    assert next_ms() is None
    broker.close()
