"""Retention and checkpoints by their deadlines."""

from pathlib import Path

from broker.identifiers import TopicPartition
from broker.server.background import Checkpoints, Retention
from broker.storage import DataDirectory, DiskFileSystem
from broker.wire.messages.fetch import FetchResponse
from tests.broker.handlers.conftest import InProcessBroker, batch
from tests.broker.handlers.test_produce_and_fetch import fetch_request, produce

DAY_MS = 86_400_000


def test_expired_segments_go_at_the_next_check_and_their_readers_are_told(tmp_path: Path) -> None:
    """By time here; the log's start moves, and the files are removed."""
    broker = InProcessBroker(tmp_path / "data")
    topic = broker.state.catalog.create("t", 1, {"retention.ms": str(DAY_MS)})
    retention = Retention(broker.state)
    first_check = retention.next_deadline()
    produce(broker, "t", batch(b"old", timestamp=broker.clock.now_ms()))
    topic.partitions[0].log.roll()
    broker.clock.advance_ms(2 * DAY_MS)
    produce(broker, "t", batch(b"new", timestamp=broker.clock.now_ms()))
    now = broker.clock.monotonic()
    assert first_check is not None
    assert first_check <= now
    retention.expire(now)
    assert topic.partitions[0].log.log_start_offset == 1
    assert sorted(path.name for path in (tmp_path / "data" / "t-0").glob("*.log*")) == ["00000000000000000001.log"]
    answer = broker.call(fetch_request("t", 1), FetchResponse, 12).responses[0].partitions[0]
    assert (answer.error_code, answer.log_start_offset) == (0, 1)
    following = retention.next_deadline()
    assert following is not None
    assert following > now
    broker.close()


def test_checkpoints_say_from_where_on_a_crash_makes_the_log_be_read(tmp_path: Path) -> None:
    """What was flushed is not read again at the next start."""
    broker = InProcessBroker(tmp_path / "data")
    log = broker.state.catalog.create("t", 1, {}).partitions[0].log
    checkpoints = Checkpoints(broker.state)
    produce(broker, "t", batch(b"a"))
    log.flush()
    broker.clock.advance_ms(60_000)
    checkpoints.expire(broker.clock.monotonic())
    broker.directory.close(clean=False)
    again = DataDirectory.open(tmp_path / "data", files=DiskFileSystem())
    assert not again.clean
    assert again.recovery_points()[TopicPartition("t", 0)] == 1
    again.close(clean=False)
