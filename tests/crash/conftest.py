"""Fixtures of the crash tests: a seed that is printed, and a directory with a log and a database."""

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from eventbus.database import Database
from tests.contracts.databases import database_url, sqlite_template
from tests.crash.driver import Crash
from tests.crash.outbox_driver import Ledger
from tests.crash.parking.processes import Parking, make_tables
from tests.crash.parking.work import faults, faults_of_lanes
from tests.crash.parking.worker import main, main_in_lanes
from tests.servers.logs import Log

__all__ = ["database_url", "sqlite_template"]


@pytest.fixture
def seed() -> int:
    """CRASH_SEED, or another one each time; it is printed with a failure."""
    seed = int(os.environ.get("CRASH_SEED") or random.randrange(2**32))
    print(f"CRASH_SEED={seed}")  # noqa: T201 (what a failed run is repeated with)
    return seed


@pytest.fixture
def crash(tmp_path: Path, seed: int, log_kind: str, empty_log_url: str) -> Iterator[Crash]:
    """On SQLite, with the embedded broker and with Apache Kafka."""
    crash = Crash(
        tmp_path, f"sqlite:///{tmp_path}/accounts.sqlite3", seed, empty_log_url if log_kind == "kafka" else None
    )
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


@pytest.fixture
def ledger(tmp_path: Path, database_url: str, log: Log, seed: int) -> Ledger:
    """On SQLite or PostgreSQL, on a log that nobody kills meanwhile."""
    return Ledger(tmp_path, database_url, log, seed)


@pytest.fixture
def parking(tmp_path: Path, database_url: str, seed: int) -> Parking:
    """Once on SQLite, once on PostgreSQL."""
    asyncio.run(make_tables(database_url))
    return Parking(tmp_path, database_url, seed, main, faults)


@pytest.fixture
def lanes(tmp_path: Path, database_url: str, seed: int) -> Parking:
    """The same with several keys at work at once."""
    asyncio.run(make_tables(database_url))
    return Parking(tmp_path, database_url, seed, main_in_lanes, faults_of_lanes)


@pytest.fixture
async def shop_database(tmp_path: Path, sqlite_template: Path) -> AsyncIterator[Database]:
    """On SQLite, for what is broken in this process."""
    path = tmp_path / "shop.sqlite3"
    shutil.copyfile(sqlite_template, path)
    await make_tables(f"sqlite:///{path}")
    database = Database.from_url(f"sqlite:///{path}")
    yield database
    await database.aclose()
