"""
Group commit on SQLite: one function, which the writer's thread runs inside one transaction.

What can be made ready is made ready before, on the event loop: both threads share one interpreter, and whatever the
writer's does there it does while it holds the database.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from eventbus.database.batches import sqlite_values
from eventbus.database.inbox import INSERT_COMMANDS, command_row
from eventbus.database.outbox import INSERT_ROWS
from eventbus.database.times import time_to_text
from eventbus.errors import ConcurrencyConflict
from eventbus.store.event_rows import INSERT_EVENTS, NewRow, outbox_values
from eventbus.store.snapshots import PUT_SNAPSHOTS, snapshot_values
from eventbus.store.writes import CommandRepeated, Refusal, Write

_VERSION: Final = "SELECT coalesce(max(version), 0) FROM eventbus_events WHERE stream = ?"
_RECEIPT: Final = "SELECT receipt FROM eventbus_commands WHERE command_id = ?"

_Values = tuple[str | int | bytes | None, ...]


@dataclass(slots=True)
class ReadyWrite:
    """A write with the values of its rows in the two large tables."""

    write: Write
    events: list[_Values]
    outbox: list[_Values]


def made_ready(writes: Sequence[Write]) -> list[ReadyWrite]:
    """The writes as `write_on_sqlite` takes them."""
    return [
        ReadyWrite(
            write, [_event(row) for one in write.appends for row in one.rows], [_outbox(row) for row in write.outbox]
        )
        for write in writes
    ]


def write_on_sqlite(database: sqlite3.Connection, ready: Sequence[ReadyWrite]) -> list[Refusal | None]:
    """Write all that is not refused; for each write its refusal, or None."""
    refusals = [_refusal(database, one.write) for one in ready]
    accepted = [one for one, refusal in zip(ready, refusals, strict=True) if refusal is None]
    for statement, rows in (
        (INSERT_EVENTS.sqlite, [row for one in accepted for row in one.events]),
        (INSERT_ROWS.sqlite, [row for one in accepted for row in one.outbox]),
        (
            INSERT_COMMANDS.sqlite,
            [sqlite_values(command_row(*command)) for one in accepted for command in one.write.commands],
        ),
        (
            PUT_SNAPSHOTS.sqlite,
            [sqlite_values(snapshot_values(snapshot)) for one in accepted for snapshot in one.write.snapshots],
        ),
    ):
        if len(rows) == 1:
            database.execute(statement, rows[0])
        elif rows:
            database.executemany(statement, rows)
    return refusals


def _refusal(database: sqlite3.Connection, write: Write) -> Refusal | None:
    for command_id, _ in write.commands:
        found = database.execute(_RECEIPT, (command_id,)).fetchone()
        if found is not None:
            return CommandRepeated(command_id, found[0])
    for one in write.appends:
        actual: int = database.execute(_VERSION, (one.stream,)).fetchone()[0]
        if actual != one.base:
            return ConcurrencyConflict(one.stream, one.base, actual)
    return None


def _event(row: NewRow) -> _Values:
    return (*row[:4], time_to_text(row[4]), *row[5:])


def _outbox(row: NewRow) -> _Values:
    """In the order of INSERT_ROWS: the outbox's columns."""
    id, kind, _, _, time, subject, _, version, _, _, _, data, category, topic = row
    headers, slot = outbox_values(row)
    return id, category, subject or id, kind, data, topic, subject, headers, slot, version, time_to_text(time)
