"""
Fixtures that give every test a database of its own: once on SQLite, once on PostgreSQL.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from eventbus.database import Database, Migrations
from eventbus.testing.contracts.database import MakeDatabase

__all__ = [
    "database",
    "database_url",
    "database_url_of_the_log",
    "empty_database_url",
    "make_database",
    "sqlite_template",
]


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the framework's tables, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.sqlite3"

    async def migrate() -> None:
        database = Database.from_url(f"sqlite:///{path}")
        await Migrations(database).upgrade()
        await database.aclose()

    asyncio.run(migrate())
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database that has the framework's tables."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgres_url")
        return url
    path = tmp_path / "service.sqlite3"
    shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def database_url_of_the_log(log_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same on the database that goes with the log: SQLite beside the embedded broker, else PostgreSQL."""
    if log_kind == "kafka":
        url: str = request.getfixturevalue("postgres_url")
        return url
    path = tmp_path / "service.sqlite3"
    shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without any table."""
    if request.param == "postgresql":
        url: str = request.getfixturevalue("empty_postgres_url")
        return url
    return f"sqlite:///{tmp_path}/state/service.sqlite3"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """That database, open."""
    database = Database.from_url(database_url)
    yield database
    await database.aclose()


@pytest.fixture
def make_database(database_url: str) -> MakeDatabase:
    """Opens it once more at each call."""
    return lambda: Database.from_url(database_url)
