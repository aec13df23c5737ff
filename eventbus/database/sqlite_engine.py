"""
The connections to one SQLite file: one that writes, some that read.

SQLite has one writer at a time, so callers queue here, in this process, where the queue is fair and costs nothing,
instead of in SQLite's busy handler, which sleeps and has no order. Between processes the busy handler remains.
"""

import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NoReturn

import anyio
import anyio.to_thread
import sqlalchemy
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_dbapi
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from eventbus.database import sqlite_driver
from eventbus.database.direct import Direct, Result
from eventbus.database.failures import translate
from eventbus.database.memory import MemoryFile
from eventbus.database.url import VARIABLE
from eventbus.errors import DatabaseUnavailable, InvalidConfiguration

READERS: Final = 4
DIRECT_READERS: Final = 2

# The mode of the journal stays in the file; setting it again costs a read. FULL: a commit that was answered survives
# a power cut. Foreign keys are off in SQLite unless asked for, and on everywhere else.
_WRITER_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")
_MEMORY_PRAGMAS: Final = ("journal_mode=WAL", "synchronous=OFF", "foreign_keys=ON")
_READER_PRAGMAS: Final = ("journal_mode=WAL", "query_only=ON")


async def run_on_sqlite(connection: AsyncConnection, function: Callable[[sqlite3.Connection], Result]) -> Result:
    """
    The result of *function*, run inside the connection's transaction with the driver itself, in one hop to its thread.

    Raises what SQLAlchemy would: DatabaseUnavailable when the file is locked or away, IntegrityError, OperationalError.
    """
    driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, sqlite_driver.Connection):
        raise TypeError(f"a connection to SQLite was expected, this one is to {connection.dialect.name}")
    try:
        return await driver.run(function)
    except sqlite3.IntegrityError as error:
        raise IntegrityError(None, None, error) from error
    except sqlite3.Error as error:
        raise translate(error, connection.engine.url.database or "") or OperationalError(None, None, error) from error


class SqliteEngine:
    """
    Connections to a file, which is made, with its directory, at the first use.

    place          the file's path, or its place in memory, which is kept as long as this engine
    wait_seconds   how long for a turn in this process, and then for other processes' locks
    observe        called with each SQLAlchemy engine that is made, to listen to its errors
    """

    def __init__(self, place: Path | MemoryFile, wait_seconds: float, observe: Callable[[AsyncEngine], None]) -> None:
        self._place = place
        self._path = place.path if isinstance(place, MemoryFile) else place
        self._was_connected = False
        self._wait_seconds = wait_seconds
        self._observe = observe
        self._turn = anyio.Lock(fast_acquire=True)
        self._thread: sqlite_driver.SqliteThread | None = None
        self._writer = self._make(self._connect_writer, 1)
        self._readers = self._make(self._connect_reader, READERS)
        self._direct_writer: sqlite_driver.Connection | None = None
        self._direct_readers: list[sqlite_driver.Connection] = []
        self._direct_turn = anyio.Semaphore(DIRECT_READERS, fast_acquire=True)

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """The connection that writes, in turn. DatabaseUnavailable when the turn does not come."""
        await self._take_turn()
        try:
            async with self._writer.connect() as connection:
                yield connection
        finally:
            self._turn.release()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """One of the connections that read."""
        async with self._readers.connect() as connection:
            yield connection

    async def write(self, work: Direct[Result]) -> Result:
        """
        The work's result, run and committed in one hop to the writer's thread, in turn with the transactions. Raises
        DatabaseUnavailable and the driver's own errors.
        """
        await self._take_turn()
        try:
            if self._direct_writer is None:
                self._direct_writer = await self._connect_writer()
            return await self._direct_writer.run_whole(work.sqlite)
        except (sqlite3.Error, OSError) as error:
            self._raise_translated(error)
        finally:
            self._turn.release()

    async def read(self, work: Direct[Result]) -> Result:
        """The work's result, run on one snapshot in one hop."""
        async with self._direct_turn:
            try:
                reader = self._direct_readers.pop() if self._direct_readers else await self._connect_reader()
                try:
                    return await reader.run_whole(work.sqlite)
                finally:
                    self._direct_readers.append(reader)
            except (sqlite3.Error, OSError) as error:
                self._raise_translated(error)

    async def aclose(self) -> None:
        """Close all connections and end their threads."""
        while self._direct_readers:
            await self._direct_readers.pop().close()
        if self._direct_writer is not None:
            await self._direct_writer.close()
            self._direct_writer = None
        await self._readers.dispose()
        await self._writer.dispose()
        if self._thread is not None:
            self._thread.stop()
            await anyio.to_thread.run_sync(self._thread.join, self._wait_seconds)
            self._thread = None

    def _raise_translated(self, error: Exception) -> NoReturn:
        translated = translate(error, str(self._path))
        if translated is None:
            raise error
        raise translated from error

    async def _take_turn(self) -> None:
        if not self._turn.locked():
            # Nobody is before us, as nearly always: a timeout costs more than the turn.
            self._turn.acquire_nowait()
            return
        try:
            with anyio.fail_after(self._wait_seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise DatabaseUnavailable(
                f"{self._path} is locked: the transactions before this one took longer than {self._wait_seconds:g} s"
            ) from None
        except RuntimeError as error:
            raise RuntimeError(
                "a transaction is open in this task, and SQLite has one writer: use its connection, or end it first"
            ) from error

    def _make_directory(self) -> None:
        """A directory that cannot be had at the first use is a wrong setting; one that goes away later is an outage."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if self._was_connected:
                raise
            raise InvalidConfiguration(
                f"{VARIABLE}: the directory {self._path.parent} cannot be used: {error.strerror}"
            ) from None
        self._was_connected = True

    async def _connect_writer(self) -> sqlite_driver.Connection:
        self._make_directory()
        if self._thread is None:
            self._thread = sqlite_driver.SqliteThread(f"sqlite writer {self._path.name}")
        return await sqlite_driver.connect(
            self._path,
            begin="BEGIN IMMEDIATE",
            busy_seconds=self._wait_seconds,
            pragmas=_MEMORY_PRAGMAS if isinstance(self._place, MemoryFile) else _WRITER_PRAGMAS,
            thread=self._thread,
        )

    async def _connect_reader(self) -> sqlite_driver.Connection:
        self._make_directory()
        return await sqlite_driver.connect(
            self._path, begin="BEGIN", busy_seconds=self._wait_seconds, pragmas=_READER_PRAGMAS
        )

    def _make(self, connect: Callable[[], Awaitable[sqlite_driver.Connection]], connections: int) -> AsyncEngine:
        def create(*_: object, **__: object) -> Awaitable[sqlite_driver.Connection]:
            return connect()

        engine = create_async_engine(
            sqlalchemy.URL.create("sqlite+aiosqlite", database=str(self._path)),
            module=AsyncAdapt_aiosqlite_dbapi(sqlite_driver, sqlite3),
            connect_args={"async_creator_fn": create},
            poolclass=AsyncAdaptedQueuePool,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=self._wait_seconds,
        )
        self._observe(engine)
        return engine
