"""
A service's database: transactions that write, and snapshots to read from, as SQLAlchemy's asynchronous connections.

SQLite      one connection writes, on a thread of its own; callers of `transaction()` wait for it in the order in
            which they came. BEGIN IMMEDIATE, write-ahead log, synchronous=FULL. Snapshots have connections and
            threads of their own beside it. Other processes on the same file are waited for, within the busy timeout.
Memory      SQLite, in a file in memory that goes with the `Database` (see `eventbus.database.memory`)
PostgreSQL  asyncpg and a pool; transactions are READ COMMITTED, snapshots REPEATABLE READ, read only. A lost connection
            empties the pool, which fills again by itself when the server is back.

Source      decision 13; ADR-0003
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Literal, Protocol, assert_never

import anyio
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from eventbus.database.direct import Direct, Result
from eventbus.database.failures import translate
from eventbus.database.memory import MemoryFile
from eventbus.database.postgresql_engine import PostgresqlEngine
from eventbus.database.sqlite_engine import SqliteEngine
from eventbus.database.url import PostgresqlServer, SqliteFile, SqliteMemory, parse_database_url

Dialect = Literal["sqlite", "postgresql"]


class Engine(Protocol):
    """
    Where a database's connections come from: the port for another driver or pool, or for a server that speaks one of
    the two dialects. `eventbus.testing.contracts.database` holds it to its promises.
    """

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection without a transaction, for one that will write."""
        ...

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection whose transaction sees one snapshot and refuses to write."""
        ...

    async def write(self, work: Direct[Result]) -> Result:
        """The work's result, committed; rolled back when it raises. It is given the driver's own connection."""
        ...

    async def read(self, work: Direct[Result]) -> Result:
        """The work's result, which writes nothing."""
        ...

    async def aclose(self) -> None:
        """Closes every connection; the next use opens them again."""
        ...


class Database:
    """
    One database of one event loop; `from_url` makes it, nothing connects before the first use, `aclose` ends it.

    Errors of both context managers, at the statement that meets them: DatabaseUnavailable when the database is down,
    locked or out of room; InvalidConfiguration when it refuses the role, the password or the name. All others are
    SQLAlchemy's.
    """

    def __init__(self, name: str, dialect: Dialect, engine: Engine) -> None:
        self.name: Final = name
        self.dialect: Final = dialect
        self._engine = engine

    @classmethod
    def from_url(cls, url: str, *, wait_seconds: float = 5.0) -> "Database":
        """
        The database that *url* names (see `eventbus.database.url`). Raises InvalidConfiguration.

        wait_seconds   how long for a connection or for somebody's lock, before it is DatabaseUnavailable
        """
        parsed = parse_database_url(url)
        match parsed:
            case SqliteFile(path):
                name = str(path)
                return cls(name, "sqlite", SqliteEngine(path, wait_seconds, _translating(name)))
            case SqliteMemory(given):
                name = f"memory:{given or ''}"
                file = MemoryFile() if given is None else MemoryFile.named(given)
                return cls(name, "sqlite", SqliteEngine(file, wait_seconds, _translating(name)))
            case PostgresqlServer():
                name = _server_name(parsed)
                return cls(name, "postgresql", PostgresqlEngine(parsed, name, wait_seconds, _translating(name)))
            case _:
                assert_never(parsed)

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncConnection]:
        """
        A connection inside a transaction that may write: committed when the block ends, rolled back when it raises or
        is cancelled. On SQLite a second one inside the block would wait for itself: RuntimeError says so.
        """
        async with self._connected(self._engine.writing()) as connection:
            transaction = await connection.begin()
            try:
                yield connection
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await transaction.rollback()
                raise
            # Whether a commit has happened must not be left open by a cancellation that comes in the middle of it.
            with anyio.CancelScope(shield=True):
                await transaction.commit()

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """A connection that sees one consistent snapshot, taken at its first statement, and cannot write."""
        async with self._connected(self._engine.reading()) as connection:
            yield connection

    async def write(self, work: Direct[Result]) -> Result:
        """
        The result of *work*, which speaks to the driver itself (see `Direct`). Besides the errors above it raises the
        driver's. A cancelled caller does not know whether it has happened.
        """
        return await self._engine.write(work)

    async def read(self, work: Direct[Result]) -> Result:
        """The result of *work*, which writes nothing. On SQLite it sees one snapshot, on PostgreSQL one a statement."""
        return await self._engine.read(work)

    async def aclose(self) -> None:
        """Close every connection. To be called when no block is open any more."""
        with anyio.CancelScope(shield=True):
            await self._engine.aclose()

    @asynccontextmanager
    async def _connected(self, source: AbstractAsyncContextManager[AsyncConnection]) -> AsyncGenerator[AsyncConnection]:
        # Connecting fails with the operating system's or the driver's own errors; inside the block, where they would be
        # the caller's, it is SQLAlchemy's that are translated.
        try:
            connection = await source.__aenter__()
        except Exception as error:
            translated = translate(error, self.name)
            if translated is None:
                raise
            raise translated from error
        try:
            yield connection
        finally:
            with anyio.CancelScope(shield=True):
                await source.__aexit__(None, None, None)


def _translating(name: str) -> Callable[[AsyncEngine], None]:
    """What lets every statement on an engine that finds the database away raise DatabaseUnavailable."""

    def handle(context: ExceptionContext) -> BaseException | None:
        return translate(context.original_exception, name, disconnected=context.is_disconnect)

    return lambda engine: event.listen(engine.sync_engine, "handle_error", handle, retval=True)


def _server_name(server: PostgresqlServer) -> str:
    host = server.url.host or server.url.query.get("host") or "localhost"
    port = f":{server.url.port}" if server.url.port else ""
    return f"{host}{port}/{server.url.database}"
