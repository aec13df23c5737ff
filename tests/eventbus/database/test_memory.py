"""Databases in memory: how long they live, and what is left of them."""

import gc
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from eventbus.database import Database
from eventbus.database.memory import MemoryFile

pytestmark = pytest.mark.anyio

HOLDS_ONE = """
import anyio, os, sys
from eventbus.database import Database
from eventbus.database.memory import MemoryFile
from sqlalchemy import text

async def main():
    database = Database.from_url("memory:left")
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE numbers (number INTEGER)"))
    print(MemoryFile.named("left").path.parent, flush=True)
    if sys.argv[1] == "sleeps":
        await anyio.sleep(60)

anyio.run(main)
if sys.argv[1] == "forks":
    if (child := os.fork()) == 0:
        sys.exit()
    os.waitpid(child, 0)
    print(MemoryFile.named("left").path.exists())
"""


async def fill(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE numbers (number INTEGER)"))


async def tables(database: Database) -> list[str]:
    async with database.reading() as connection:
        return list((await connection.execute(text("SELECT name FROM sqlite_master"))).scalars())


async def test_two_databases_without_a_name_have_nothing_in_common() -> None:
    """Each is empty at first, and keeps its data when it is closed and used again."""
    one, two = Database.from_url("memory:"), Database.from_url("sqlite:///:memory:")
    await fill(one)
    await one.aclose()
    assert await tables(one) == ["numbers"]
    assert await tables(two) == []
    await one.aclose()
    await two.aclose()


async def test_a_name_is_one_database_for_all_of_the_process_who_say_it() -> None:
    """Until it is forgotten: then it is a new one, and the old one stays with those who have it."""
    one, two = Database.from_url("memory:shared"), Database.from_url("memory:shared")
    await fill(one)
    assert await tables(two) == ["numbers"]
    MemoryFile.forget("shared")
    later = Database.from_url("memory:shared")
    assert await tables(later) == []
    assert await tables(two) == ["numbers"]
    MemoryFile.forget("shared")
    for database in (one, two, later):
        await database.aclose()


async def test_nothing_is_left_of_a_database_that_nobody_has() -> None:
    """The memory is given back while the process goes on."""
    file = MemoryFile()
    directory = file.path.parent
    assert directory.stat().st_mode & 0o077 == 0
    file.path.write_bytes(b"x" * 1000)
    del file
    gc.collect()
    assert not directory.exists()


@pytest.mark.parametrize("how", ["ends", "forks"])
def test_nothing_is_left_when_a_process_ends(how: str) -> None:
    """A forked child that ends takes nothing from its parent."""
    done = subprocess.run([sys.executable, "-c", HOLDS_ONE, how], capture_output=True, text=True, check=True)
    directory, *found = done.stdout.split()
    assert found == (["True"] if how == "forks" else [])
    assert not Path(directory).exists()


def test_what_a_killed_process_has_left_is_removed_by_the_next_one_and_nothing_else() -> None:
    """Its lock is free; the lock of a process that lives is not."""
    processes = [
        subprocess.Popen([sys.executable, "-c", HOLDS_ONE, "sleeps"], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        directories = [Path(process.stdout.readline().strip()) for process in processes if process.stdout is not None]
        assert all(directory.exists() for directory in directories)
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait()
        assert directories[0].exists()
        MemoryFile()
        assert [directory.exists() for directory in directories] == [False, True]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
