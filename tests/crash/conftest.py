"""Fixtures of the crash tests: a seed that is printed, and a directory with a log and a database."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contracts.databases import database_url, sqlite_template
from tests.crash.driver import Crash
from tests.crash.outbox_driver import Ledger
from tests.servers.broker_process import BrokerProcess, running_broker

__all__ = ["database_url", "sqlite_template"]


@pytest.fixture
def seed() -> int:
    """CRASH_SEED, or another one each time; it is printed with a failure."""
    seed = int(os.environ.get("CRASH_SEED") or random.randrange(2**32))
    print(f"CRASH_SEED={seed}")  # noqa: T201 (what a failed run is repeated with)
    return seed


@pytest.fixture
def crash(tmp_path: Path, seed: int) -> Iterator[Crash]:
    """On SQLite and the embedded broker."""
    crash = Crash(tmp_path, f"sqlite:///{tmp_path}/accounts.sqlite3", seed)
    with crash.kept():
        yield crash


@pytest.fixture
def crash_on_postgresql(
    tmp_path: Path, seed: int, postgres_url: str, log_kind: str, empty_log_url: str
) -> Iterator[Crash]:
    """On PostgreSQL, with the embedded broker and with Apache Kafka."""
    crash = Crash(tmp_path, postgres_url, seed, empty_log_url if log_kind == "kafka" else None)
    with crash.kept():
        yield crash


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker that nobody kills, for tests that have a topic each."""
    with running_broker(tmp_path_factory.mktemp("outbox") / "broker") as broker:
        yield broker


@pytest.fixture
def ledger(tmp_path: Path, database_url: str, shared_broker: BrokerProcess, seed: int) -> Ledger:
    """Once on SQLite, once on PostgreSQL."""
    return Ledger(tmp_path, database_url, shared_broker.bootstrap, seed)
