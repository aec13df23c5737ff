"""
Snapshots: an aggregate's state at a version of its stream, so that loading reads only what came after it.

A snapshot is a cache of the events and may be deleted at any time. It is of a `snapshot_version`, the number that the
aggregate's code gives to the shape of its state: one of another number is as good as none, and is overwritten only by
a newer shape, so that old and new code can run side by side.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database import Direct, PostgresqlDriver
from eventbus.database.batches import BatchInsert, Value
from eventbus.database.dialects import is_sqlite
from eventbus.database.tables import snapshots


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    A state.

    stream_version     the version of the last event in it
    snapshot_version   of the shape of *state*
    state              bytes that only the aggregate reads
    """

    stream: str
    stream_version: int
    snapshot_version: int
    state: bytes
    taken_at: datetime


_COLUMNS: Final = ("stream", "stream_version", "snapshot_version", "state", "taken_at")
PUT_SNAPSHOTS: Final = BatchInsert(
    snapshots,
    *_COLUMNS,
    ending="""
        ON CONFLICT (stream) DO UPDATE SET
            stream_version = excluded.stream_version, snapshot_version = excluded.snapshot_version,
            state = excluded.state, taken_at = excluded.taken_at
        WHERE (excluded.snapshot_version, excluded.stream_version)
            >= (eventbus_snapshots.snapshot_version, eventbus_snapshots.stream_version)
    """,
)
_FIND_ON_SQLITE: Final = (
    "SELECT stream, stream_version, snapshot_version, state, taken_at FROM eventbus_snapshots "
    "WHERE stream = ? AND snapshot_version = ?"
)
_FIND_ON_POSTGRESQL: Final = _FIND_ON_SQLITE.replace("?", "$1", 1).replace("?", "$2", 1)


class Snapshots:
    """The snapshots of a database. Every method works in the transaction of the connection that it is given."""

    async def find(self, connection: AsyncConnection, stream: str, snapshot_version: int) -> Snapshot | None:
        """The stream's snapshot of that shape; None: there is none, or one of another shape."""
        statement = _FIND_ON_SQLITE if is_sqlite(connection) else _FIND_ON_POSTGRESQL
        found = (await connection.exec_driver_sql(statement, (stream, snapshot_version))).first()
        return None if found is None else _snapshot(found)

    async def put(self, connection: AsyncConnection, given: Sequence[Snapshot]) -> None:
        """Keep the snapshots, one a stream, unless a newer one is there."""
        await PUT_SNAPSHOTS.execute(connection, [snapshot_values(one) for one in given])


def snapshot_values(snapshot: Snapshot) -> tuple[Value, ...]:
    """Its row."""
    return (
        snapshot.stream,
        snapshot.stream_version,
        snapshot.snapshot_version,
        snapshot.state,
        snapshot.taken_at,
    )


def reading_of_snapshot(stream: str, snapshot_version: int) -> Direct[Snapshot | None]:
    """The same as `Snapshots.find`, without SQLAlchemy and outside of any transaction."""

    def on_sqlite(database: sqlite3.Connection) -> Snapshot | None:
        found = database.execute(_FIND_ON_SQLITE, (stream, snapshot_version)).fetchone()
        return None if found is None else _snapshot(found)

    async def on_postgresql(driver: PostgresqlDriver) -> Snapshot | None:
        found = await driver.fetch(_FIND_ON_POSTGRESQL, stream, snapshot_version)
        return _snapshot(found[0]) if found else None

    return Direct(on_sqlite, on_postgresql)


def _snapshot(row: Sequence[object]) -> Snapshot:
    stream, stream_version, snapshot_version, state, taken_at = cast("tuple[str, int, int, bytes, datetime | str]", row)
    time = datetime.fromisoformat(taken_at) if isinstance(taken_at, str) else taken_at
    return Snapshot(stream, stream_version, snapshot_version, state, time)
