"""
Transactions and snapshots, on SQLite and on PostgreSQL.
"""

import random

import anyio
import pytest
import sqlalchemy.exc
from anyio.abc import TaskStatus
from sqlalchemy import text

from eventbus.database import Database
from eventbus.errors import DatabaseUnavailable, InvalidConfiguration
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def numbers(database: Database) -> Database:
    """A database with an empty table of numbers."""
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE numbers (number INTEGER PRIMARY KEY)"))
    return database


async def insert(database: Database, number: int) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO numbers VALUES (:number)"), {"number": number})


async def count(database: Database) -> int:
    async with database.reading() as connection:
        found = await connection.scalar(text("SELECT count(*) FROM numbers"))
    assert isinstance(found, int)
    return found


async def test_a_transaction_commits_at_its_end_and_rolls_back_on_an_error(numbers: Database) -> None:
    """What was written before an error is gone."""
    await insert(numbers, 1)
    with pytest.raises(RuntimeError, match="no"):
        async with numbers.transaction() as connection:
            await connection.execute(text("INSERT INTO numbers VALUES (2)"))
            raise RuntimeError("no")
    assert await count(numbers) == 1


async def test_an_error_of_the_statement_passes_through(numbers: Database) -> None:
    """A broken constraint or a wrong table is SQLAlchemy's error, not an absent database."""
    await insert(numbers, 1)
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        await insert(numbers, 1)
    with pytest.raises(sqlalchemy.exc.DBAPIError, match="nowhere"):
        async with numbers.transaction() as connection:
            await connection.execute(text("SELECT * FROM nowhere"))


async def test_a_snapshot_does_not_move(numbers: Database) -> None:
    """A commit beside it is not seen, at its second look either; the writer does not wait for it."""
    async with numbers.reading() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM numbers")) == 0
        await insert(numbers, 1)
        assert await connection.scalar(text("SELECT count(*) FROM numbers")) == 0
    assert await count(numbers) == 1


async def test_a_snapshot_cannot_write(numbers: Database) -> None:
    """A query handler that tries is told, and what it wrote is nowhere."""
    with pytest.raises(sqlalchemy.exc.DBAPIError, match=r"read-?only"):
        async with numbers.reading() as connection:
            await connection.execute(text("INSERT INTO numbers VALUES (1)"))
    await insert(numbers, 1)
    assert await count(numbers) == 1


async def test_a_reading_connection_writes_again_as_a_writing_one(numbers: Database) -> None:
    """The pool gives connections back without the snapshot's settings."""
    for number in range(8):
        assert await count(numbers) == number
        await insert(numbers, number)


async def test_a_user_error_in_the_block_is_not_the_databases(numbers: Database) -> None:
    """A file that the handler misses does not make the database unavailable."""
    with pytest.raises(FileNotFoundError):
        async with numbers.transaction():
            raise FileNotFoundError("theirs")


async def test_a_cancelled_transaction_never_stays_open(numbers: Database) -> None:
    """Cancelled at any moment of it, it is whole or not there, and the next one finds the database free."""
    committed = 0
    for number in range(60):
        with anyio.move_on_after(random.uniform(0, 0.004)):
            async with numbers.transaction() as connection:
                for part in range(3):
                    await connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": number * 10 + part})
        found = await count(numbers)
        assert found % 3 == 0, "a part of a transaction was committed"
        assert found - committed in {0, 3}
        committed = found
        with anyio.fail_after(5):
            async with numbers.transaction() as connection:
                assert await connection.scalar(text("SELECT count(*) FROM numbers")) == found


async def test_an_empty_wait_ends_with_words(numbers: Database, database_url: str) -> None:
    """A database whose connections are all in use is unavailable after the wait, and available again after that."""
    hurried = Database.from_url(database_url, wait_seconds=0.1)
    try:
        async with anyio.create_task_group() as tasks:
            release = anyio.Event()

            async def hold(*, task_status: TaskStatus[None]) -> None:
                async with hurried.transaction() as connection:
                    await connection.execute(text("SELECT 1"))
                    task_status.started()
                    await release.wait()

            for _ in range(1 if hurried.dialect == "sqlite" else 20):
                await tasks.start(hold)
            with pytest.raises(DatabaseUnavailable):
                async with hurried.transaction() as connection:
                    await connection.execute(text("SELECT 1"))
            release.set()
        await insert(hurried, 1)
    finally:
        await hurried.aclose()


async def test_a_lock_that_is_held_too_long_makes_postgresql_unavailable(postgres_url: str) -> None:
    """A row that another transaction keeps is waited for, and then it is as if the database were away."""
    database = Database.from_url(postgres_url, wait_seconds=0.1)
    lock = text("LOCK TABLE eventbus_inbox")
    try:
        async with database.transaction() as holding:
            await holding.execute(lock)
            with pytest.raises(DatabaseUnavailable, match=r"is locked: .*lock timeout"):
                async with database.transaction() as connection:
                    await connection.execute(lock)
        async with database.transaction() as connection:
            await connection.execute(lock)
    finally:
        await database.aclose()


async def test_postgresql_that_goes_away_is_unavailable_and_is_found_again(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """At once while it is down, within an open transaction too; the pool fills again by itself when it is back."""
    database = Database.from_url(postgres_url, wait_seconds=5)

    async def ask() -> object:
        async with database.transaction() as connection:
            return await connection.scalar(text("SELECT 1"))

    try:
        assert await ask() == 1
        with pytest.raises(DatabaseUnavailable, match="is away"):
            async with database.transaction() as connection:
                await connection.execute(text("SELECT 1"))
                await anyio.to_thread.run_sync(postgres_server.stop)
                await connection.execute(text("SELECT 1"))
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable, match="is away"):
                await ask()
        await anyio.to_thread.run_sync(postgres_server.start)
        assert await ask() == 1
        async with database.reading() as connection:
            assert await connection.scalar(text("SELECT 2")) == 2
    finally:
        await anyio.to_thread.run_sync(postgres_server.start)
        await database.aclose()


async def test_a_database_that_does_not_exist_is_a_wrong_setting(postgres_server: PostgresServer) -> None:
    """Waiting does not help there: the operator is told the variable."""
    database = Database.from_url(postgres_server.url("nobody_made_this"))
    with pytest.raises(InvalidConfiguration, match=r"EVENTBUS_DATABASE_URL.*nobody_made_this"):
        async with database.transaction():
            pass
    await database.aclose()


async def test_a_server_that_nobody_runs_is_unavailable() -> None:
    """A refused connection is waited out like any other absence."""
    database = Database.from_url("postgresql://postgres@127.0.0.1:1/orders", wait_seconds=1)
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1:1/orders is away"):
        async with database.transaction():
            pass
    await database.aclose()
