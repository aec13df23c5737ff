"""Fixtures of the crash tests: a seed that is printed, and a directory with a log and a database."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.driver import Crash
from tests.servers.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


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
def crash_on_postgresql(tmp_path: Path, seed: int, postgres_url: str) -> Iterator[Crash]:
    """On PostgreSQL and the embedded broker."""
    crash = Crash(tmp_path, postgres_url, seed)
    with crash.kept():
        yield crash
