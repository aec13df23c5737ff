"""
Group load: streams that are asked for at the same time are read together.

A read of a few rows costs less than the way to the database and back, so that is gone once for all who wait. Two groups
may be on their way at a time: behind a long stream in one, short ones go by the other.

    PostgreSQL   one statement; for a single stream the plain one
    SQLite       one function on a reader's thread
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

from eventbus.database import Database, Direct, PostgresqlDriver
from eventbus.store.event_rows import READ_COLUMNS, reading_of_stream, stored_events
from eventbus.store.failures import for_each
from eventbus.store.streams import Row, StoredEvent

_GROUP_MAX: Final = 100
_GROUPS_MAX: Final = 2

# A subquery with an order is not merged into the join: each stream is a walk along the primary key, whatever the
# planner thinks of the table.
_LOAD_GROUP: Final = f"""
    SELECT found.*, wanted.number
    FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS wanted(stream, after_version, number)
    CROSS JOIN LATERAL (
        SELECT {READ_COLUMNS} FROM eventbus_events
        WHERE eventbus_events.stream = wanted.stream AND version > wanted.after_version ORDER BY version
    ) AS found
"""  # noqa: S608 (our own words)


@dataclass(slots=True, eq=False)
class _Waiting:
    stream: str
    after_version: int
    found: "asyncio.Future[Sequence[Row]]"


class GroupLoad:
    """Loads streams of a database; any number of tasks may call it at the same time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Waiting] = deque()
        # The loop itself holds its tasks weakly.
        self._tasks: set[asyncio.Task[None]] = set()
        self._loaders = 0

    async def load(self, stream: str, after_version: int) -> list[StoredEvent]:
        """The stream's committed events behind *after_version*, in order. Raises DatabaseUnavailable."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(stream, after_version, loop.create_future())
        self._waiting.append(waiting)
        if self._loaders < _GROUPS_MAX:
            # Of nobody's task group: who is cancelled must not take the others' rows away.
            # Counted here and not by its callback, which is late: callers that it has woken come back before.
            self._loaders += 1
            task = loop.create_task(self._load_waiting())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return stored_events(await waiting.found)

    async def _load_waiting(self) -> None:
        try:
            while self._waiting:
                group = [self._waiting.popleft() for _ in range(min(len(self._waiting), _GROUP_MAX))]
                group = [waiting for waiting in group if not waiting.found.done()]
                if group:
                    await self._load(group)
        finally:
            self._loaders -= 1

    async def _load(self, group: Sequence[_Waiting]) -> None:
        try:
            results = await self._database.read(_direct(group))
        except BaseException as error:
            for waiting, own in zip(group, for_each(error, len(group)), strict=True):
                if not waiting.found.done():
                    waiting.found.set_exception(own)
            if not isinstance(error, Exception):
                raise
        else:
            for waiting, rows in zip(group, results, strict=True):
                if not waiting.found.done():
                    waiting.found.set_result(rows)


def _direct(group: Sequence[_Waiting]) -> Direct[list[Sequence[Row]]]:
    wanted = [(waiting.stream, waiting.after_version) for waiting in group]
    return Direct(
        sqlite=lambda database: _on_sqlite(database, wanted),
        postgresql=lambda driver: _on_postgresql(driver, wanted),
    )


def _on_sqlite(database: sqlite3.Connection, wanted: Sequence[tuple[str, int]]) -> list[Sequence[Row]]:
    return [reading_of_stream(stream, after_version).on_sqlite(database) for stream, after_version in wanted]


async def _on_postgresql(driver: PostgresqlDriver, wanted: Sequence[tuple[str, int]]) -> list[Sequence[Row]]:
    if len(wanted) == 1:
        return [await reading_of_stream(*wanted[0]).on_postgresql(driver)]
    streams, after_versions = zip(*wanted, strict=True)
    results: list[list[Row]] = [[] for _ in wanted]
    for row in await driver.fetch(_LOAD_GROUP, list(streams), list(after_versions)):
        results[cast("int", row[-1]) - 1].append(row)
    return cast("list[Sequence[Row]]", results)
