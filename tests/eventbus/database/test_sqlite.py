"""
One SQLite file: its one writer, its readers, and other processes.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text

from eventbus.database import Database
from eventbus.errors import DatabaseUnavailable, InvalidConfiguration
from tests.eventbus.database import sqlite_process

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "service.sqlite3"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[Database]:
    """An empty file, opened with a short wait."""
    database = Database.from_url(f"sqlite:///{path}", wait_seconds=0.3)
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE numbers (writer INTEGER, number INTEGER)"))
    yield database
    await database.aclose()


async def test_a_commit_survives_a_power_cut(database: Database, path: Path) -> None:
    """Write-ahead log, and synchronous=FULL (2) on the connection that writes."""
    async with database.transaction() as connection:
        assert await connection.scalar(text("PRAGMA synchronous")) == 2
        assert await connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert await connection.scalar(text("PRAGMA foreign_keys")) == 1


async def test_writers_come_in_turn(database: Database) -> None:
    """Nobody overtakes, however many wait."""
    order: list[int] = []

    async def write(number: int) -> None:
        async with database.transaction() as connection:
            order.append(number)
            await connection.execute(text("INSERT INTO numbers VALUES (0, :number)"), {"number": number})

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(write, number)
    assert order == list(range(30))


async def test_a_transaction_inside_a_transaction_is_refused_with_the_way_out(database: Database) -> None:
    """It would wait for itself; the outer one goes on."""
    async with database.transaction() as connection:
        with pytest.raises(RuntimeError, match="use its connection"):
            async with database.transaction():
                pass
        await connection.execute(text("INSERT INTO numbers VALUES (0, 1)"))


async def test_a_file_locked_by_another_process_is_unavailable_after_the_wait(database: Database, path: Path) -> None:
    """The words say locked; when the lock is gone, writing goes on. Reading never stopped."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnavailable, match="is locked"):
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO numbers VALUES (0, 1)"))
    async with database.reading() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM numbers")) == 0
    other.execute("ROLLBACK")
    other.close()
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO numbers VALUES (0, 1)"))


async def test_a_lock_that_is_released_within_the_wait_is_not_noticed(database: Database, path: Path) -> None:
    """The busy timeout waits for BEGIN IMMEDIATE, as it would not for a deferred transaction's upgrade."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.1, lambda: other.execute("COMMIT"))
    timer.start()
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO numbers VALUES (0, 1)"))
    timer.join()
    other.close()


async def test_a_cancelled_statement_is_interrupted(database: Database) -> None:
    """A long query does not keep the writer from the next caller."""
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with anyio.move_on_after(0.05):
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO numbers VALUES (0, 1)"))
            await connection.execute(text(endless))
    with anyio.fail_after(30):
        async with database.transaction() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM numbers")) == 0


async def test_a_directory_that_cannot_be_made_is_a_wrong_setting(tmp_path: Path) -> None:
    """At the first use it is the operator's to mend; the sentence has the variable's name."""
    (tmp_path / "file").write_text("no directory")
    database = Database.from_url(f"sqlite:///{tmp_path / 'file' / 'below' / 'x.sqlite3'}")
    with pytest.raises(InvalidConfiguration, match="EVENTBUS_DATABASE_URL: the directory"):
        async with database.transaction():
            pass
    await database.aclose()


async def test_closing_ends_the_threads(path: Path) -> None:
    """A service that stops leaves none behind, and the write-ahead log is folded into the file."""
    before = set(threading.enumerate())
    database = Database.from_url(f"sqlite:///{path}")
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE t (x)"))
    async with database.reading() as connection:
        await connection.execute(text("SELECT * FROM t"))
    started = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("sqlite ")]
    await database.aclose()
    assert len(started) == 2
    for thread in started:
        await anyio.to_thread.run_sync(thread.join, 2)
        assert not thread.is_alive()
    assert not path.with_name(path.name + "-wal").exists()


async def test_processes_share_a_file(database: Database, path: Path) -> None:
    """Two that write and one that reads: all rows arrive, in order per writer, and nobody is told that it is locked."""
    processes = [_start(path, "write", str(writer), "150") for writer in (1, 2)] + [_start(path, "read", "300")]
    for process in processes:
        output, _ = await anyio.to_thread.run_sync(process.communicate)
        assert process.returncode == 0, output
    async with database.reading() as connection:
        for writer in (1, 2):
            rows = await connection.scalars(
                text("SELECT number FROM numbers WHERE writer = :writer ORDER BY rowid"), {"writer": writer}
            )
            assert list(rows) == list(range(150))


async def test_a_killed_process_leaves_whole_transactions(database: Database, path: Path) -> None:
    """SIGKILL in the middle of writing: the others go on at once and see pairs only."""
    process = _start(path, "write-pairs")
    assert process.stdout is not None
    await anyio.to_thread.run_sync(process.stdout.readline)
    await anyio.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    await anyio.to_thread.run_sync(process.communicate)
    async with database.transaction() as connection:
        counts = await connection.scalars(text("SELECT count(*) FROM numbers GROUP BY number"))
        assert set(counts) == {2}


def _start(path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, sqlite_process.__file__, str(path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
