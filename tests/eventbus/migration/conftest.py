from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventbus.migration.old_world import OldWorld
from tests.servers.broker_process import running_broker
from tests.servers.logs import EmbeddedLog, Log, delete_topics


@pytest.fixture
def old(tmp_path: Path) -> OldWorld:
    return OldWorld(tmp_path / "old")


@pytest.fixture
def target(log_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Log]:
    """A log without topics, which is reached by a kafka:// URL: a broker of its own, and the cluster."""
    if log_kind == "kafka":
        log: Log = request.getfixturevalue("log")
        delete_topics(log.bootstrap)
        yield log
    else:
        with running_broker(tmp_path / "target") as broker:
            yield EmbeddedLog(broker)
