"""
What a database promises to everything that is built on it: transactions, and snapshots beside them.
"""

import random
from collections.abc import Callable

import anyio
import pytest
import sqlalchemy.exc
from sqlalchemy import text

from eventbus.database import Database

MakeDatabase = Callable[[], Database]
"""Opens the test's database once more at each call."""


async def insert(database: Database, number: int) -> None:
    async with database.transaction() as connection:
        await connection.execute(text("INSERT INTO numbers VALUES (:number)"), {"number": number})


async def count(database: Database) -> int:
    async with database.reading() as connection:
        found = await connection.scalar(text("SELECT count(*) FROM numbers"))
    assert isinstance(found, int)
    return found


class DatabaseContract:
    """Tests for a database: give `database`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    async def numbers(self, database: Database) -> Database:
        """The database, with an empty table of numbers."""
        async with database.transaction() as connection:
            await connection.execute(text("CREATE TABLE numbers (number INTEGER PRIMARY KEY)"))
        return database

    async def test_a_transaction_commits_at_its_end_and_rolls_back_on_an_error(self, numbers: Database) -> None:
        """What was written before an error is gone."""
        await insert(numbers, 1)
        with pytest.raises(RuntimeError, match="no"):
            async with numbers.transaction() as connection:
                await connection.execute(text("INSERT INTO numbers VALUES (2)"))
                raise RuntimeError("no")
        assert await count(numbers) == 1

    async def test_an_error_of_the_statement_passes_through(self, numbers: Database) -> None:
        """A broken constraint or a wrong table is SQLAlchemy's error, not an absent database."""
        await insert(numbers, 1)
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            await insert(numbers, 1)
        with pytest.raises(sqlalchemy.exc.DBAPIError, match="nowhere"):
            async with numbers.transaction() as connection:
                await connection.execute(text("SELECT * FROM nowhere"))

    async def test_a_snapshot_does_not_move(self, numbers: Database) -> None:
        """A commit beside it is not seen, at its second look either; the writer does not wait for it."""
        async with numbers.reading() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM numbers")) == 0
            await insert(numbers, 1)
            assert await connection.scalar(text("SELECT count(*) FROM numbers")) == 0
        assert await count(numbers) == 1

    async def test_a_snapshot_cannot_write(self, numbers: Database) -> None:
        """A query handler that tries is told, and what it wrote is nowhere."""
        with pytest.raises(sqlalchemy.exc.DBAPIError, match=r"read-?only"):
            async with numbers.reading() as connection:
                await connection.execute(text("INSERT INTO numbers VALUES (1)"))
        await insert(numbers, 1)
        assert await count(numbers) == 1

    async def test_a_reading_connection_writes_again_as_a_writing_one(self, numbers: Database) -> None:
        """The pool gives connections back without the snapshot's settings."""
        for number in range(8):
            assert await count(numbers) == number
            await insert(numbers, number)

    async def test_a_user_error_in_the_block_is_not_the_databases(self, numbers: Database) -> None:
        """A file that the handler misses does not make the database unavailable."""
        with pytest.raises(FileNotFoundError):
            async with numbers.transaction():
                raise FileNotFoundError("theirs")

    async def test_a_cancelled_transaction_never_stays_open(self, numbers: Database) -> None:
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
            with anyio.fail_after(30):
                async with numbers.transaction() as connection:
                    assert await connection.scalar(text("SELECT count(*) FROM numbers")) == found
