from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventbus.migration.old_world import OldWorld
from tests.servers.broker_process import BrokerProcess, running_broker


@pytest.fixture
def old(tmp_path: Path) -> OldWorld:
    return OldWorld(tmp_path / "old")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[BrokerProcess]:
    """A log of its own, which is reached by a kafka:// URL as any cluster is."""
    with running_broker(tmp_path / "target") as broker:
        yield broker
