"""
SQLite behind an asynchronous face: every connection is used on one thread, and only there.

The shape is that of the `aiosqlite` package, so that SQLAlchemy's dialect of that name drives it; the package itself
is not needed. Two things differ, and are why this module exists:

Round trips   a statement, its rows and the BEGIN before it are one hop to the thread (aiosqlite: one each), and `run()`
              takes a whole function to the thread, which is how the event store writes a batch.
Threads       the caller brings the thread. All connections that write share one, so that whatever one of them was doing
              has ended, or is rolled back by its close, before the next one begins: a cancelled caller leaves nothing
              open.

Source        ADR-0003
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import partial
from pathlib import Path
from sqlite3 import (
    DatabaseError,
    Error,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    sqlite_version,
    sqlite_version_info,
)
from typing import Literal, Self, TypeVar, cast

__all__ = [
    "Connection",
    "Cursor",
    "DatabaseError",
    "Error",
    "IntegrityError",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "SqliteThread",
    "connect",
    "sqlite_version",
    "sqlite_version_info",
]

__version__ = sqlite_version

Result = TypeVar("Result")
Value = None | int | float | str | bytes
Parameters = Sequence[Value]
Row = tuple[Value, ...]
Description = tuple[tuple[str, None, None, None, None, None, None], ...]
Begin = Literal["BEGIN", "BEGIN IMMEDIATE"]


class SqliteThread:
    """A daemon thread that runs functions one after the other, in the order in which they were given."""

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, function: Callable[[], None]) -> None:
        """Run *function*, which raises nothing, after all that were submitted before it."""
        self._jobs.put(function)

    async def run(self, function: Callable[[], Result], abandon: Callable[[Result], None] | None = None) -> Result:
        """
        The function's result; its exception is raised here. Cancellation gives up waiting: the function still runs, and
        *abandon* is then given its result.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def job() -> None:
            try:
                result = function()
            except BaseException as error:
                _wake(loop, partial(_fail, future, error))
            else:
                _wake(loop, partial(_finish, future, result, abandon))

        self.submit(job)
        return await future

    def stop(self) -> None:
        """End the thread when everything submitted so far has run."""
        self._jobs.put(None)

    def join(self, timeout_seconds: float) -> None:
        """Wait for the end that `stop()` asked for."""
        self._thread.join(timeout_seconds)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # an idle thread must not keep the last caller's objects alive


class Connection:
    """
    One sqlite3 connection. A transaction begins by itself with the first statement, in the same hop to the thread.

    Errors: those of `sqlite3`; OperationalError with `sqlite_errorcode` SQLITE_BUSY when another process held the
    lock for longer than the busy timeout.
    """

    def __init__(self, thread: SqliteThread, database: sqlite3.Connection, begin: Begin, *, owns_thread: bool) -> None:
        self._thread = thread
        self._conn = database
        self._begin = begin
        self._owns_thread = owns_thread
        self._connection: sqlite3.Connection | None = database
        # Set before the hop: a caller that is cancelled may leave before its statement has begun the transaction.
        self._used = False

    @property
    def isolation_level(self) -> str | None:
        """None: transactions are begun here, never by `sqlite3` itself."""
        return self._conn.isolation_level

    def cursor(self) -> "Cursor":
        """A cursor; it costs no hop."""
        return Cursor(self)

    async def run(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        """
        The result of *function*, run on the thread inside the transaction. A cancelled caller interrupts the
        statement that is running; SQLAlchemy then closes the connection, which rolls back.
        """
        self._used = True
        try:
            return await self._thread.run(partial(self._in_transaction, function))
        except asyncio.CancelledError:
            if self._connection is not None:
                self._conn.interrupt()
            raise

    async def run_whole(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        """
        The result of *function*, run on the thread inside a transaction of its own, which is committed in the same hop;
        rolled back when it raises. A cancelled caller does not stop it.
        """
        return await self._thread.run(partial(self._whole, function))

    async def commit(self) -> None:
        """Make the transaction durable; without one, nothing."""
        if self._used:
            await self._thread.run(self._conn.commit)
            self._used = False

    async def rollback(self) -> None:
        """Undo the transaction; without one, nothing."""
        if self._used:
            await self._thread.run(self._conn.rollback)
            self._used = False

    async def close(self) -> None:
        """Close, which rolls an open transaction back. Twice is once."""
        if self._connection is not None:
            self._connection = None
            await self._thread.run(self._close)

    def stop(self) -> None:
        """Close without waiting: what SQLAlchemy calls where nothing can be awaited."""
        if self._connection is not None:
            self._connection = None
            self._thread.submit(self._close)

    async def create_function(
        self, name: str, arguments: int, function: Callable[..., Value], *, deterministic: bool = False
    ) -> None:
        """An SQL function in Python; SQLAlchemy makes `regexp` so."""
        await self._thread.run(
            lambda: self._conn.create_function(name, arguments, function, deterministic=deterministic)
        )

    def _in_transaction(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        if not self._conn.in_transaction:
            self._conn.execute(self._begin)
        return function(self._conn)

    def _whole(self, function: Callable[[sqlite3.Connection], Result]) -> Result:
        database = self._conn
        database.execute(self._begin)
        try:
            result = function(database)
            database.commit()
        except BaseException:
            database.rollback()
            raise
        return result

    def _close(self) -> None:
        self._conn.close()
        if self._owns_thread:
            self._thread.stop()


class Cursor:
    """One statement at a time. Its rows are fetched on the thread with the statement, so fetching costs no hop."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[Row] = []
        self.description: Description | None = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        return self

    def __await__(self) -> Generator[None, None, Self]:
        # SQLAlchemy 2.0 awaits `connection.cursor()`, 2.1 enters it.
        return self.__aenter__().__await__()

    async def execute(self, operation: str, parameters: Parameters = ()) -> Self:
        """Run one statement and fetch all of its rows."""

        def work(database: sqlite3.Connection) -> None:
            cursor = database.execute(operation, parameters)
            self.description = cast("Description | None", cursor.description)
            self._rows = cursor.fetchall() if cursor.description else []
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
            cursor.close()

        await self._connection.run(work)
        return self

    async def executemany(self, operation: str, parameters: Iterable[Parameters]) -> Self:
        """Run one statement for each of *parameters*, in one hop."""

        def work(database: sqlite3.Connection) -> None:
            cursor = database.executemany(operation, parameters)
            self.description, self._rows = None, []
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
            cursor.close()

        await self._connection.run(work)
        return self

    async def fetchone(self) -> Row | None:
        """The next row; with none left, None."""
        return self._rows.pop(0) if self._rows else None

    async def fetchmany(self, size: int | None = None) -> list[Row]:
        """The next *size* rows."""
        count = self.arraysize if size is None else size
        rows, self._rows = self._rows[:count], self._rows[count:]
        return rows

    async def fetchall(self) -> list[Row]:
        """The rows that are left."""
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        """Forget the rows."""
        self._rows = []


async def connect(
    path: Path, *, begin: Begin, busy_seconds: float, pragmas: Sequence[str], thread: SqliteThread | None = None
) -> Connection:
    """
    A connection to the file, which is made if it is missing, on *thread* or on one of its own.

    busy_seconds   how long a statement waits for another process's lock
    pragmas        run before anything else, such as "journal_mode=WAL"
    """
    owner = thread if thread is not None else SqliteThread(f"sqlite {path.name}")
    try:
        database = await owner.run(partial(_open, path, busy_seconds, pragmas), abandon=sqlite3.Connection.close)
    except BaseException:
        if thread is None:
            owner.stop()
        raise
    return Connection(owner, database, begin, owns_thread=thread is None)


def _open(path: Path, busy_seconds: float, pragmas: Sequence[str]) -> sqlite3.Connection:
    # The statement cache holds what the framework and a service's own queries use; 128 is sqlite3's default.
    database = sqlite3.connect(
        path, timeout=busy_seconds, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        for pragma in pragmas:
            database.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        database.close()
        raise
    return database


def _wake(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        # The loop has been closed: nobody waits any more.
        return


def _finish(future: "asyncio.Future[Result]", result: Result, abandon: Callable[[Result], None] | None) -> None:
    if not future.done():
        future.set_result(result)
    elif abandon is not None:
        abandon(result)


def _fail(future: "asyncio.Future[Result]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
