"""
Group commit on SQLite: one function, which the writer's thread runs inside one transaction.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from eventbus.database.batches import sqlite_values
from eventbus.database.inbox import INSERT_COMMANDS, command_row
from eventbus.database.outbox import INSERT_ROWS, outbox_values
from eventbus.errors import ConcurrencyConflict
from eventbus.store.event_rows import INSERT_EVENTS
from eventbus.store.snapshots import PUT_SNAPSHOTS, snapshot_values
from eventbus.store.writes import CommandRepeated, Refusal, Write

_VERSION: Final = "SELECT coalesce(max(version), 0) FROM eventbus_events WHERE stream = ?"
_RECEIPT: Final = "SELECT receipt FROM eventbus_commands WHERE command_id = ?"


def write_on_sqlite(database: sqlite3.Connection, writes: Sequence[Write]) -> list[Refusal | None]:
    """Write all that is not refused; for each write its refusal, or None."""
    refusals = [_refusal_on_sqlite(database, write) for write in writes]
    accepted = [write for write, refusal in zip(writes, refusals, strict=True) if refusal is None]
    for statement, rows in (
        (INSERT_EVENTS.sqlite, [row for write in accepted for one in write.appends for row in one.rows()]),
        (INSERT_ROWS.sqlite, [outbox_values(row) for write in accepted for row in write.outbox]),
        (INSERT_COMMANDS.sqlite, [command_row(*command) for write in accepted for command in write.commands]),
        (PUT_SNAPSHOTS.sqlite, [snapshot_values(one) for write in accepted for one in write.snapshots]),
    ):
        if rows:
            database.executemany(statement, map(sqlite_values, rows))
    return refusals


def _refusal_on_sqlite(database: sqlite3.Connection, write: Write) -> Refusal | None:
    for command_id, _ in write.commands:
        found = database.execute(_RECEIPT, (command_id,)).fetchone()
        if found is not None:
            return CommandRepeated(command_id, found[0])
    for one in write.appends:
        actual: int = database.execute(_VERSION, (one.append.stream,)).fetchone()[0]
        if actual != one.base:
            return ConcurrencyConflict(one.append.stream, one.base, actual)
    return None
