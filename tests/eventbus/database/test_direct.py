"""
Work that speaks to the driver itself.
"""

import sqlite3

import anyio
import pytest
from sqlalchemy import text

from eventbus.database import Database, Direct, PostgresqlDriver
from eventbus.errors import DatabaseUnavailable
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.anyio


def statements(*given: str) -> Direct[int]:
    """Statements one after the other; the number in the last one's first row, or 0."""

    def on_sqlite(database: sqlite3.Connection) -> int:
        rows = [database.execute(one).fetchall() for one in given][-1]
        return int(rows[0][0]) if rows else 0

    async def on_postgresql(driver: PostgresqlDriver) -> int:
        rows = [await driver.fetch(one) for one in given][-1]
        return int(str(rows[0][0])) if rows else 0

    return Direct(on_sqlite, on_postgresql)


COUNT = statements("SELECT count(*) FROM notes")


@pytest.fixture
async def notes(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("CREATE TABLE notes (id INTEGER PRIMARY KEY)"))


async def test_what_is_written_directly_is_committed(database: Database, notes: None) -> None:
    """When the call returns, whoever reads sees it."""
    await database.write(statements("INSERT INTO notes VALUES (1)"))
    assert await database.read(COUNT) == 1
    async with database.reading() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM notes")) == 1


async def test_direct_work_takes_turns_with_transactions(database: Database, notes: None) -> None:
    """Ten of each at the same time: none is lost, none is refused."""

    async def directly(number: int) -> None:
        await database.write(statements(f"INSERT INTO notes VALUES ({number})"))  # noqa: S608 (a number of ours)

    async def in_a_transaction(number: int) -> None:
        async with database.transaction() as connection:
            await connection.execute(text("INSERT INTO notes VALUES (:id)"), {"id": number})

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(directly, number)
            tasks.start_soon(in_a_transaction, 100 + number)
    assert await database.read(COUNT) == 20


async def test_an_error_is_the_drivers_and_leaves_the_connection_fit(database: Database, notes: None) -> None:
    """A statement that is refused has written nothing; the next one works."""
    await database.write(statements("INSERT INTO notes VALUES (1)"))
    for _ in range(6):
        with pytest.raises(Exception, match=r"UNIQUE|unique"):
            await database.write(statements("INSERT INTO notes VALUES (1)"))
    assert await database.read(COUNT) == 1


async def test_on_sqlite_work_that_raises_is_rolled_back(database: Database, notes: None) -> None:
    """All of the function is one transaction."""
    if database.dialect != "sqlite":
        pytest.skip("on PostgreSQL each statement is a transaction by itself")
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(statements("INSERT INTO notes VALUES (1)", "INSERT INTO notes VALUES (1)"))
    assert await database.read(COUNT) == 0


async def test_a_cancelled_caller_leaves_nothing_behind(database: Database, notes: None) -> None:
    """Neither half an answer for the next one, nor a turn that is never given back."""
    slow = Direct(
        sqlite=lambda connection: connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT count(*) FROM n"
        ).fetchall(),
        postgresql=lambda driver: driver.fetch("SELECT pg_sleep(0.2)"),
    )
    for _ in range(6):
        with anyio.move_on_after(0.01):
            await database.write(slow)
    await database.write(statements("INSERT INTO notes VALUES (7)"))
    assert await database.read(statements("SELECT id FROM notes")) == 7


async def test_a_server_that_was_started_again_is_connected_to_again(
    postgres: PostgresServer, postgres_url: str
) -> None:
    """While it is away it is DatabaseUnavailable; the connections that were kept are not used any more."""
    database = Database.from_url(postgres_url)
    assert await database.read(statements("SELECT 1")) == 1
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await database.read(statements("SELECT 1"))
    finally:
        postgres.start()
    with anyio.fail_after(30):
        while True:
            try:
                assert await database.read(statements("SELECT 1")) == 1
            except DatabaseUnavailable:
                await anyio.sleep(0.05)
            else:
                break
    await database.aclose()
