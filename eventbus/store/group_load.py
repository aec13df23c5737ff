"""
What every command may ask, answered in groups: a stream's events, and what came of a command's id.

    PostgreSQL   one statement; for a single stream the plain one
    SQLite       one function on a reader's thread
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias, cast

from eventbus.database import Database, Direct, PostgresqlDriver
from eventbus.store.event_rows import (
    HISTORY_COLUMNS,
    READ_COLUMNS,
    Reading,
    reading_of_history,
    reading_of_stream,
    stored_events,
)
from eventbus.store.group_read import GroupRead
from eventbus.store.streams import History, Row, StoredEvent


@dataclass(frozen=True, slots=True)
class _StreamReading:
    """How streams are read: one by its Reading, several by one statement on PostgreSQL."""

    of_one: Callable[[str, int], Reading]
    of_many: str


def _of_many(columns: str) -> str:
    # A subquery with an order is not merged into the join: each stream is a walk along the primary key, whatever the
    # planner thinks of the table.
    return f"""
        SELECT found.*, wanted.number
        FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS wanted(stream, after_version, number)
        CROSS JOIN LATERAL (
            SELECT {columns} FROM eventbus_events
            WHERE eventbus_events.stream = wanted.stream AND version > wanted.after_version ORDER BY version
        ) AS found
    """  # noqa: S608 (our own words)


_EVENTS: Final = _StreamReading(reading_of_stream, _of_many(READ_COLUMNS))
_HISTORIES: Final = _StreamReading(reading_of_history, _of_many(HISTORY_COLUMNS))
RECEIPTS_ON_SQLITE: Final = (
    "SELECT command_id, receipt FROM eventbus_commands WHERE command_id IN (SELECT value FROM json_each(?))"
)
_RECEIPTS_ON_POSTGRESQL: Final = "SELECT command_id, receipt FROM eventbus_commands WHERE command_id = ANY($1::text[])"

_Behind: TypeAlias = tuple[str, int]
"""A stream, and the version behind which it is wanted."""


class GroupLoad:
    """Loads from a database, outside of any transaction; any number of tasks may call it at the same time."""

    def __init__(self, database: Database) -> None:
        self._streams: GroupRead[_Behind, Sequence[Row]] = GroupRead(database, partial(_loading, _EVENTS))
        self._histories: GroupRead[_Behind, History] = GroupRead(database, partial(_loading, _HISTORIES))
        self._receipts: GroupRead[str, str | None] = GroupRead(database, _finding)

    async def load(self, stream: str, after_version: int) -> list[StoredEvent]:
        """The stream's committed events behind *after_version*, in order. Raises DatabaseUnavailable."""
        return stored_events(await self._streams.ask((stream, after_version)))

    async def history(self, stream: str, after_version: int) -> History:
        """The same events, as much of each as a state is made of again. Raises the same."""
        return await self._histories.ask((stream, after_version))

    async def receipt(self, command_id: str) -> str | None:
        """The receipt (JSON) of a command that was handled under this id; None: none was. Raises the same."""
        return await self._receipts.ask(command_id)


def _loading(reading: _StreamReading, wanted: Sequence[_Behind]) -> Direct[Sequence[Sequence[Row]]]:
    return Direct(
        sqlite=lambda database: [reading.of_one(*one).on_sqlite(database) for one in wanted],
        postgresql=lambda driver: _load_on_postgresql(driver, reading, wanted),
    )


async def _load_on_postgresql(
    driver: PostgresqlDriver, reading: _StreamReading, wanted: Sequence[_Behind]
) -> Sequence[Sequence[Row]]:
    if len(wanted) == 1:
        return [await reading.of_one(*wanted[0]).on_postgresql(driver)]
    streams, after_versions = zip(*wanted, strict=True)
    results: list[list[Row]] = [[] for _ in wanted]
    for row in await driver.fetch(reading.of_many, list(streams), list(after_versions)):
        results[cast("int", row[-1]) - 1].append(row[:-1])
    return results


def _finding(command_ids: Sequence[str]) -> Direct[Sequence[str | None]]:
    def on_sqlite(database: sqlite3.Connection) -> Sequence[str | None]:
        found: dict[str, str] = dict(database.execute(RECEIPTS_ON_SQLITE, (json.dumps(command_ids),)))
        return [found.get(command_id) for command_id in command_ids]

    async def on_postgresql(driver: PostgresqlDriver) -> Sequence[str | None]:
        rows = await driver.fetch(_RECEIPTS_ON_POSTGRESQL, command_ids)
        found = dict(cast("Sequence[tuple[str, str]]", rows))
        return [found.get(command_id) for command_id in command_ids]

    return Direct(on_sqlite, on_postgresql)
