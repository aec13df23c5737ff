"""
The connections to one PostgreSQL server: SQLAlchemy's pool, and a few of its connections kept for direct work.

Taking a connection out of the pool and giving it back costs about as much as a small statement, so those for direct
work stay out, up to DIRECT_CONNECTIONS of them. One that was lost is noticed before its next use and replaced.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, cast

import anyio
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from eventbus.database.direct import Direct, PostgresqlDriver, Result
from eventbus.database.failures import translate
from eventbus.database.url import PostgresqlServer

DIRECT_CONNECTIONS: Final = 4


class PostgresqlEngine:
    """
    A pool over asyncpg. Reading shares it: the isolation level is set for the time of a checkout.

    name           the database in the text of errors
    wait_seconds   how long for a connection or a lock
    observe        called with the SQLAlchemy engine, to listen to its errors
    """

    def __init__(
        self, server: PostgresqlServer, name: str, wait_seconds: float, observe: Callable[[AsyncEngine], None]
    ) -> None:
        settings = {"lock_timeout": f"{wait_seconds * 1000:.0f}", **server.settings}
        self._name = name
        self._engine = create_async_engine(
            server.url,
            connect_args={"timeout": wait_seconds, **server.arguments, "server_settings": settings},
            pool_size=10,
            max_overflow=30,
            pool_timeout=wait_seconds,
        )
        observe(self._engine)
        self._snapshots = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._direct_turn = anyio.Semaphore(DIRECT_CONNECTIONS, fast_acquire=True)
        self._kept: list[tuple[AsyncConnection, PostgresqlDriver]] = []

    def writing(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection of the pool."""
        return self._engine.connect()

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A connection of the pool whose transactions are snapshots."""
        return self._snapshots.connect()

    async def write(self, work: Direct[Result]) -> Result:
        """The work's result. Raises DatabaseUnavailable, InvalidConfiguration, and the driver's own errors."""
        async with self._direct_turn, self._driver() as driver:
            try:
                return await work.postgresql(driver)
            except Exception as error:
                translated = translate(error, self._name, disconnected=driver.is_closed())
                if translated is None:
                    raise
                raise translated from error

    async def read(self, work: Direct[Result]) -> Result:
        """The same: one statement is a snapshot by itself."""
        return await self.write(work)

    async def aclose(self) -> None:
        """Close all connections."""
        while self._kept:
            connection, _ = self._kept.pop()
            await connection.close()
        await self._engine.dispose()

    @asynccontextmanager
    async def _driver(self) -> AsyncGenerator[PostgresqlDriver]:
        connection, driver = await self._take()
        try:
            yield driver
        except Exception:
            # An error that is an answer leaves the connection as it was.
            await self._give_back(connection, driver)
            raise
        except BaseException:
            # Cancelled in the middle of an answer: nobody should read the rest of it as their own.
            with anyio.CancelScope(shield=True):
                await self._drop(connection)
            raise
        else:
            await self._give_back(connection, driver)

    async def _take(self) -> tuple[AsyncConnection, PostgresqlDriver]:
        while self._kept:
            connection, driver = self._kept.pop()
            if not driver.is_closed():
                return connection, driver
            await self._drop(connection)
        try:
            connection = await self._engine.connect()
            return connection, cast("PostgresqlDriver", (await connection.get_raw_connection()).driver_connection)
        except Exception as error:
            translated = translate(error, self._name)
            if translated is None:
                raise
            raise translated from error

    async def _give_back(self, connection: AsyncConnection, driver: PostgresqlDriver) -> None:
        if driver.is_closed():
            with anyio.CancelScope(shield=True):
                await self._drop(connection)
        else:
            self._kept.append((connection, driver))

    async def _drop(self, connection: AsyncConnection) -> None:
        await connection.invalidate()
        await connection.close()
