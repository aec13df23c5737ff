"""
Group commit on SQLite: one function, which the writer's thread runs inside one transaction.

What can be made ready is made ready before, on the event loop: both threads share one interpreter, and whatever the
writer's does there it does while it holds the database.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eventbus.database.batches import sqlite_values
from eventbus.database.inbox import INSERT_COMMANDS, command_row
from eventbus.database.outbox import INSERT_ROWS
from eventbus.database.times import time_to_text
from eventbus.errors import ConcurrencyConflict
from eventbus.store.event_rows import INSERT_EVENTS, NewRow, outbox_values
from eventbus.store.group_load import RECEIPTS_ON_SQLITE
from eventbus.store.snapshots import PUT_SNAPSHOTS, snapshot_values
from eventbus.store.writes import CommandRepeated, Refusal, Write

_VERSION: Final = "SELECT coalesce(max(version), 0) FROM eventbus_events WHERE stream = ?"
# Of a JSON object of streams and the versions that they are expected at, those that are at others.
_MOVED: Final = (
    "SELECT stream, actual FROM (SELECT key AS stream, value AS expected, coalesce((SELECT max(version) "
    "FROM eventbus_events WHERE stream = key), 0) AS actual FROM json_each(?)) WHERE actual <> expected"
)

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
    refusals = _refusals(database, [one.write for one in ready])
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


def _refusals(database: sqlite3.Connection, writes: Sequence[Write]) -> list[Refusal | None]:
    """By one statement a table, whatever the number of writes: each gives the interpreter up and waits for it again."""
    expected = {one.stream: one.base for write in writes for one in write.appends}
    moved = _moved(database, expected)
    ids = [command_id for write in writes for command_id, _ in write.commands]
    receipts: dict[str, str] = dict(database.execute(RECEIPTS_ON_SQLITE, (json.dumps(ids),))) if ids else {}
    if not moved and not receipts:
        return [None] * len(writes)
    return [_refusal(write, moved, receipts) for write in writes]


def _moved(database: sqlite3.Connection, expected: Mapping[str, int]) -> dict[str, int]:
    """The actual versions of streams that are not where they are expected."""
    if len(expected) == 1:
        ((stream, base),) = expected.items()
        actual: int = database.execute(_VERSION, (stream,)).fetchone()[0]
        return {} if actual == base else {stream: actual}
    return dict(database.execute(_MOVED, (json.dumps(expected),))) if expected else {}


def _refusal(write: Write, moved: Mapping[str, int], receipts: Mapping[str, str]) -> Refusal | None:
    for command_id, _ in write.commands:
        if command_id in receipts:
            return CommandRepeated(command_id, receipts[command_id])
    for one in write.appends:
        if one.stream in moved:
            return ConcurrencyConflict(one.stream, one.base, moved[one.stream])
    return None


def _event(row: NewRow) -> _Values:
    return (*row[:4], time_to_text(row[4]), *row[5:])


def _outbox(row: NewRow) -> _Values:
    """In the order of INSERT_ROWS: the outbox's columns."""
    id, kind, _, _, time, subject, _, version, _, _, _, data, category, topic = row
    headers, slot = outbox_values(row)
    return id, category, subject or id, kind, data, topic, subject, headers, slot, version, time_to_text(time)
