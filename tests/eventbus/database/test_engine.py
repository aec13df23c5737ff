"""
Transactions and snapshots, on SQLite and on PostgreSQL.
"""

import anyio
import pytest
from anyio.abc import TaskStatus
from sqlalchemy import text

from eventbus.database import Database
from eventbus.errors import DatabaseUnavailable, InvalidConfiguration
from eventbus.testing.contracts.database import DatabaseContract
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.anyio


class TestDatabase(DatabaseContract):
    """On SQLite and on PostgreSQL."""


async def test_an_empty_wait_ends_with_words(database_url: str) -> None:
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

            for _ in range(1 if hurried.dialect == "sqlite" else 40):
                await tasks.start(hold)
            with pytest.raises(DatabaseUnavailable):
                async with hurried.transaction() as connection:
                    await connection.execute(text("SELECT 1"))
            release.set()
        async with hurried.transaction() as connection:
            assert await connection.scalar(text("SELECT 1")) == 1
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
    postgres: PostgresServer, postgres_url: str
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
                await anyio.to_thread.run_sync(postgres.stop)
                await connection.execute(text("SELECT 1"))
        for _ in range(3):
            with pytest.raises(DatabaseUnavailable, match="is away"):
                await ask()
        await anyio.to_thread.run_sync(postgres.start)
        assert await ask() == 1
        async with database.reading() as connection:
            assert await connection.scalar(text("SELECT 2")) == 2
    finally:
        await anyio.to_thread.run_sync(postgres.start)
        await database.aclose()


async def test_a_database_that_does_not_exist_is_a_wrong_setting(postgres: PostgresServer) -> None:
    """Waiting does not help there: the operator is told the variable."""
    database = Database.from_url(postgres.url("nobody_made_this"))
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
