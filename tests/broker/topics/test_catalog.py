"""Topics over starts, crashes and deletions."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.errors import ErrorCode, KafkaError
from tests.broker.handlers.conftest import InProcessBroker, batch


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def opened(data_dir: Path) -> Iterator[InProcessBroker]:
    broker = InProcessBroker(data_dir)
    yield broker
    broker.close()


def refusal(broker: InProcessBroker, name: str, partitions: int = 1, **configs: str) -> ErrorCode:
    overrides = {key.replace("_", "."): value for key, value in configs.items()}
    with pytest.raises(KafkaError) as raised:
        broker.state.catalog.create(name, partitions, overrides)
    assert raised.value.message
    return raised.value.code


def test_a_topic_has_its_id_partitions_and_settings_after_a_crash(data_dir: Path) -> None:
    """Nothing was closed: the metadata log alone says so."""
    first = InProcessBroker(data_dir)
    topic = first.state.catalog.create("orders", 3, {"retention.ms": "-1"})
    first.state.catalog.add_partitions(topic, 5)
    first.state.catalog.replace_configs(topic, {"cleanup.policy": "compact"})
    first.directory.close(clean=False)
    second = InProcessBroker(data_dir)
    found = second.state.catalog.find("orders")
    assert found is not None
    assert found.id == topic.id
    assert len(found.partitions) == 5
    assert found.overrides == {"cleanup.policy": "compact"}
    assert found.partitions[4].log.config.compacts
    second.close()


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "ä", "x" * 250, "a\0b"])
def test_a_name_that_kafka_refuses_is_refused(opened: InProcessBroker, name: str) -> None:
    """A topic's partitions are directories: no name may leave the data directory."""
    assert refusal(opened, name) == ErrorCode.INVALID_TOPIC_EXCEPTION


def test_names_that_differ_in_dots_and_underscores_collide(opened: InProcessBroker) -> None:
    """As in Kafka, whose metrics could not tell them apart."""
    opened.state.catalog.create("a.b", 1, {})
    assert refusal(opened, "a_b") == ErrorCode.INVALID_TOPIC_EXCEPTION
    opened.state.catalog.create("a-b", 1, {})


def test_a_topic_is_refused_with_the_code_that_fits(opened: InProcessBroker) -> None:
    """Exists already; no partitions; an unknown setting; above max.partitions."""
    opened.state.catalog.create("t", 1, {})
    assert refusal(opened, "t") == ErrorCode.TOPIC_ALREADY_EXISTS
    assert refusal(opened, "u", 0) == ErrorCode.INVALID_PARTITIONS
    assert refusal(opened, "u", 1, retention_msec="1") == ErrorCode.INVALID_CONFIG
    assert refusal(opened, "u", 1, retention_ms="soon") == ErrorCode.INVALID_CONFIG
    assert refusal(opened, "u", 1_000_000) == ErrorCode.POLICY_VIOLATION


def test_a_deleted_topic_is_gone_and_its_successor_starts_empty(data_dir: Path) -> None:
    """Another id, no records of the old one, also after a crash right behind the deletion."""
    first = InProcessBroker(data_dir)
    old = first.state.catalog.create("t", 1, {})
    old.partitions[0].append(batch(b"old"))
    doomed = first.state.catalog.delete(old)
    assert all(path.exists() and path.name.endswith("-delete") for path in doomed)
    new = first.state.catalog.create("t", 1, {})
    assert new.id != old.id
    assert new.partitions[0].log.next_offset == 0
    first.directory.close(clean=False)
    second = InProcessBroker(data_dir)
    found = second.state.catalog.find("t")
    assert found is not None
    assert found.id == new.id
    assert second.state.catalog.take_doomed() == list(doomed)
    second.close()


def test_a_deletion_that_a_crash_interrupted_is_finished_at_the_next_start(data_dir: Path) -> None:
    """The line was written, the directory not yet renamed."""
    first = InProcessBroker(data_dir)
    topic = first.state.catalog.create("t", 1, {})
    topic.partitions[0].append(batch(b"old"))
    (doomed,) = first.state.catalog.delete(topic)
    doomed.rename(data_dir / "t-0")
    first.directory.close(clean=False)
    second = InProcessBroker(data_dir)
    assert second.state.catalog.find("t") is None
    assert not (data_dir / "t-0").exists()
    assert len(second.state.catalog.take_doomed()) == 1
    second.close()


def test_a_directory_that_no_topic_accounts_for_is_set_aside(data_dir: Path) -> None:
    """Neither deleted, since nobody knows what it is, nor served."""
    InProcessBroker(data_dir).close()
    (data_dir / "lost-0").mkdir()
    (data_dir / "lost-0" / "00000000000000000000.log").write_bytes(b"precious")
    broker = InProcessBroker(data_dir)
    assert broker.state.catalog.find("lost") is None
    assert (data_dir / "lost-0.stray" / "00000000000000000000.log").read_bytes() == b"precious"
    broker.close()
    InProcessBroker(data_dir).close()


def test_a_creation_that_a_crash_interrupted_is_completed(data_dir: Path) -> None:
    """The line was written, the directories were not made."""
    first = InProcessBroker(data_dir)
    first.state.catalog.create("t", 2, {})
    first.close(clean=False)
    for path in (data_dir / "t-1").iterdir():
        path.unlink()
    (data_dir / "t-1").rmdir()
    second = InProcessBroker(data_dir)
    found = second.state.catalog.find("t")
    assert found is not None
    assert found.partitions[1].log.next_offset == 0
    second.close()


def test_leader_epochs_rise_with_a_stop_that_was_not_clean_and_never_go_back(data_dir: Path) -> None:
    """A client that had read the lost tail asks where its epoch ended; after a clean stop nothing has changed."""
    epochs: list[int] = []
    broker = InProcessBroker(data_dir)
    broker.state.catalog.create("t", 1, {})
    for clean in (True, False, True, False, True):
        topic = broker.state.catalog.find("t")
        assert topic is not None
        epochs.append(topic.partitions[0].leader_epoch)
        broker.close(clean=clean)
        broker = InProcessBroker(data_dir)
    broker.close()
    assert epochs == [0, 0, 1, 1, 2]


def test_producer_ids_are_never_given_twice(data_dir: Path) -> None:
    """Also not after a crash; a block is one line."""
    given: list[int] = []
    for clean in (True, False, False, True):
        broker = InProcessBroker(data_dir)
        given.extend(broker.state.catalog.producer_ids.allocate() for _ in range(1500))
        broker.close(clean=clean)
    assert len(set(given)) == len(given)
