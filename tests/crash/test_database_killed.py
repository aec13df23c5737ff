"""PostgreSQL is killed under load, every process of it; it recovers, and so does the service, by itself."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.driver import Crash
from tests.servers.postgres import PostgresServer


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One of this test's own: nobody else is to lose it."""
    directory = Path(tempfile.mkdtemp(prefix="pg"))  # pytest's directories are too long, and its user's own
    server = PostgresServer(directory)
    yield server
    server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.timeout(300)  # a server recovers ten times
def test_a_database_that_is_killed_under_load_loses_and_doubles_nothing(
    tmp_path: Path, seed: int, server: PostgresServer
) -> None:
    """Ten servers die at any moment; once they are back, everything is stored, in the log, and handled once."""
    crash = Crash(tmp_path, server.url(server.create_database(server.template)), seed)
    with crash.kept(), crash.service() as service:
        service.await_ready()
        for _ in range(crash.cycles):
            service.feed(crash.random.uniform(0.1, 0.5), burst_max=4)
            crash.note(f"database pid {server.pid}")
            server.kill()
            service.feed(crash.random.uniform(0.0, 0.3), burst_max=4)
            # Which rows of the outbox the log has already, nobody knows now: the service waits until they are read.
            os.kill(service.pid, signal.SIGSTOP)
            server.start()
            crash.doubt()
            service.thaw()
            # Whose transaction went with the server was told so; who had been committed after all gets that receipt.
            service.send(crash.unacknowledged())
            service.await_receipts()
        crash.assert_sound_at_rest()
        service.stop()
    assert len(crash.kills()) == crash.cycles
