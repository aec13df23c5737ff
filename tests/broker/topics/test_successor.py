"""A topic that is made again under the name of a deleted one has nothing of it, whatever a crash leaves."""

from collections.abc import Callable
from pathlib import Path
from random import Random

from broker.server.background import Checkpoints
from tests.broker.handlers.conftest import HeldBackground, InProcessBroker, batch
from tests.broker.storage.faulty_files import FaultyFileSystem


def end_after_a_crash(data_dir: Path, broker: InProcessBroker) -> tuple[int, int]:
    """Log start and end of t-0 when *broker* was killed: nothing was closed or written down."""
    broker.directory.close(clean=False)
    again = InProcessBroker(data_dir)
    topic = again.state.catalog.find("t")
    assert topic is not None
    log = topic.partitions[0].log
    found = log.log_start_offset, log.next_offset
    again.close()
    return found


def append(broker: InProcessBroker, count: int) -> None:
    topic = broker.state.catalog.find("t")
    assert topic is not None
    for _ in range(count):
        topic.partitions[0].append(batch(b"v"))


def begin_again(broker: InProcessBroker) -> None:
    topic = broker.state.catalog.find("t")
    assert topic is not None
    broker.state.catalog.delete(topic)
    broker.state.catalog.create("t", 1, {})


def with_deleted_records(data_dir: Path) -> InProcessBroker:
    broker = InProcessBroker(data_dir)
    topic = broker.state.catalog.create("t", 1, {})
    append(broker, 10)
    topic.partitions[0].log.flush()
    topic.partitions[0].log.delete_records(8)
    broker.state.catalog.write_checkpoints()
    return broker


def test_a_successor_loses_no_record_to_the_log_start_of_its_predecessor(tmp_path: Path) -> None:
    """The checkpoint said that t-0 starts at 8; the new t-0 has 3 records, and was killed before the next one."""
    broker = with_deleted_records(tmp_path / "data")
    begin_again(broker)
    append(broker, 3)
    assert end_after_a_crash(tmp_path / "data", broker) == (0, 3)


def test_a_successor_that_is_made_after_a_restart_has_nothing_of_its_predecessor(tmp_path: Path) -> None:
    """The checkpoint that the start has read names it still."""
    with_deleted_records(tmp_path / "data").close()
    broker = InProcessBroker(tmp_path / "data")
    begin_again(broker)
    append(broker, 3)
    assert end_after_a_crash(tmp_path / "data", broker) == (0, 3)


def test_a_successor_has_nothing_of_its_predecessor_after_a_loss_of_power(tmp_path: Path) -> None:
    """Whatever part of the renamed directories reached the disk: the new topic is empty, or has its own records."""
    for seed in range(40):
        data_dir = tmp_path / str(seed) / "data"
        files = FaultyFileSystem()
        broker = InProcessBroker(data_dir, files=files)
        broker.state.catalog.create("t", 1, {"flush.before.ack": "true"})
        append(broker, 10)
        topic = broker.state.catalog.find("t")
        assert topic is not None
        topic.partitions[0].log.flush()
        begin_again(broker)
        broker.state.catalog.close(clean=False)
        broker.directory.close(clean=False)
        files.power_loss(data_dir, Random(seed))
        again = InProcessBroker(data_dir, files=files)
        topic = again.state.catalog.find("t")
        assert topic is not None
        assert topic.partitions[0].log.next_offset == 0
        again.close()


def test_a_checkpoint_that_is_still_being_written_does_not_outlive_the_topic(tmp_path: Path) -> None:
    """A worker writes what was true a moment ago; what is newer is not overwritten by it."""
    held = HeldBackground()
    broker = InProcessBroker(tmp_path / "data", background=held)
    topic = broker.state.catalog.create("t", 1, {})
    append(broker, 10)
    topic.partitions[0].log.delete_records(8)
    checkpoints = Checkpoints(broker.state)
    broker.clock.advance_ms(60_000)
    checkpoints.expire(broker.clock.monotonic())
    late: list[Callable[[], None]] = held.held
    assert len(late) == 1
    begin_again(broker)
    append(broker, 3)
    held.release()
    assert end_after_a_crash(tmp_path / "data", broker) == (0, 3)
