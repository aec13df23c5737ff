"""
Group commit on PostgreSQL: one statement compares and inserts, and is a transaction by itself.

An event and what is published of it have nearly all of their values in common, so they are given once, with the two
that only the outbox has (headers and slot). Parameters cost more than rows here, so there are two forms:

A group      a text a column (see `_columns`), and the number of the write beside each row; commands and snapshots, an
             array a column, when the group has any. PostgreSQL runs inserts of one statement from the last to the
             first: so commands, events, snapshots, outbox, the order of `Transaction.flush`, and the two never deadlock
A lone one   what a single caller has nearly always, a few events of one stream: a parameter a value
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final, cast
from uuid import uuid4

from eventbus.database import PostgresqlDriver
from eventbus.database.batches import BatchInsert, Value, arrays
from eventbus.database.inbox import INSERT_COMMANDS, command_row
from eventbus.database.times import time_to_text
from eventbus.errors import ConcurrencyConflict
from eventbus.store.event_rows import COLUMNS, INSERT_EVENTS, NewRow, outbox_values
from eventbus.store.snapshots import PUT_SNAPSHOTS, snapshot_values
from eventbus.store.writes import CommandRepeated, Refusal, Write

_LONE_ROWS_MAX: Final = 4
_ACTUAL: Final = "coalesce((SELECT max(e.version) FROM eventbus_events e WHERE e.stream = given.stream), 0) AS actual"
_ACCEPTED: Final = "unit NOT IN (SELECT unit FROM refused)"
_NAMES: Final = ", ".join(COLUMNS)
# Behind the columns of an event: null headers are not published.
_PUBLISHED_NAMES: Final = "headers, slot"
_PUBLISHED_TYPES: Final = ("text", "integer")
_TYPES: Final = (*INSERT_EVENTS.types, *_PUBLISHED_TYPES)
_WIDTH: Final = len(_TYPES)
_NEW_EVENTS: Final = f"INSERT INTO eventbus_events ({_NAMES}) SELECT {_NAMES} FROM given_rows WHERE stream IS NOT NULL"  # noqa: S608 (our own words)
_NEW_ROWS: Final = (
    "INSERT INTO eventbus_outbox (id, aggregatetype, aggregateid, type, payload, topic, key, headers, slot, "
    "stream_version, created_at) SELECT id, category, coalesce(nullif(subject, ''), id), type, data, topic, subject, "
    "headers, slot, version, time FROM given_rows WHERE headers IS NOT NULL"
)
_NOT_PUBLISHED: Final = (None, None)
_STREAM_TYPES: Final = ("integer", "text", "bigint")
# The unit and the record separator of ASCII.
_SEPARATOR: Final = "\x1f"
_NULL: Final = "\x1e"


async def write_on_postgresql(driver: PostgresqlDriver, writes: Sequence[Write]) -> list[Refusal | None]:
    """Write all that is not refused; for each write its refusal, or None."""
    if len(writes) == 1 and _is_small(writes[0]):
        return [await _write_lone(driver, writes[0])]
    return await _write_group(driver, writes)


def _is_small(write: Write) -> bool:
    return (
        len(write.appends) == 1
        and len(write.appends[0].rows) <= _LONE_ROWS_MAX
        and not _is_mixed(write)
        and not write.commands
        and not write.snapshots
    )


def _is_mixed(write: Write) -> bool:
    """Whether its rows in the outbox are other ones than its events, or may have another order."""
    return len(write.appends) != 1 or len(write.outbox) > len(write.appends[0].rows)


def _given(row: NewRow) -> tuple[Value, ...]:
    return (*row, *(_NOT_PUBLISHED if row[13] is None else outbox_values(row)))


async def _write_lone(driver: PostgresqlDriver, write: Write) -> Refusal | None:
    one = write.appends[0]
    values: list[Value] = [one.stream, one.base]
    for row in one.rows:
        values += _given(row)
    found = await driver.fetch(_lone_statement(len(one.rows)), *values)
    actual = cast("int", found[0][0])
    return None if actual == one.base else ConcurrencyConflict(one.stream, one.base, actual)


@lru_cache
def _lone_statement(rows: int) -> str:
    given = ", ".join(
        "(" + ", ".join(f"${number}::{kind}" for number, kind in enumerate(_TYPES, start=first)) + ")"
        for first in range(3, 3 + rows * _WIDTH, _WIDTH)
    )
    return f"""
        WITH expected AS MATERIALIZED (
            SELECT given.expected, {_ACTUAL} FROM (SELECT $1::text, $2::bigint) AS given(stream, expected)
        ), given_rows AS MATERIALIZED (
            SELECT * FROM (VALUES {given}) AS given({_NAMES}, {_PUBLISHED_NAMES})
            WHERE EXISTS (SELECT FROM expected WHERE expected = actual)
        ), new_rows AS ({_NEW_ROWS}), new_events AS ({_NEW_EVENTS})
        SELECT actual FROM expected
    """  # noqa: S608 (our own words)


async def _write_group(driver: PostgresqlDriver, writes: Sequence[Write]) -> list[Refusal | None]:
    # In one order, so that two processes that append to the same streams wait for each other and never deadlock.
    appends = sorted(
        ((unit, one) for unit, write in enumerate(writes) for one in write.appends), key=lambda found: found[1].stream
    )
    commands = sorted(
        ((unit, command) for unit, write in enumerate(writes) for command in write.commands),
        key=lambda found: found[1],
    )
    snapshots = sorted((*snapshot_values(one), unit) for unit, write in enumerate(writes) for one in write.snapshots)
    rows = [(*_given(row), unit) for unit, one in appends for row in one.rows]
    is_mixed = any(map(_is_mixed, writes))
    if is_mixed:
        rows = _in_their_places(rows, writes)
    streams = [(unit, one.stream, one.base) for unit, one in appends]
    values = _parameters(streams, rows, is_mixed)
    if snapshots:
        values += arrays(snapshots)
    if commands:
        values += arrays([(*command_row(*command), unit) for unit, command in commands])
    refused = await driver.fetch(_group_statement(is_mixed, bool(commands), bool(snapshots)), *values)
    refusals: list[Refusal | None] = [None] * len(writes)
    for unit, name, receipt, expected, actual in cast("Sequence[tuple[int, str, str | None, int, int]]", refused):
        if receipt is not None:
            refusals[unit] = CommandRepeated(name, receipt)
        elif refusals[unit] is None:
            refusals[unit] = ConcurrencyConflict(name, expected, actual)
    return refusals


def _in_their_places(rows: Sequence[tuple[Value, ...]], writes: Sequence[Write]) -> list[tuple[Value, ...]]:
    """*rows*, and those that are published without a stream, each with its place in the outbox behind it."""
    published = [(unit, row) for unit, write in enumerate(writes) for row in write.outbox]
    places: dict[Value, int] = {row[0]: place for place, (_, row) in enumerate(published)}
    return [(*row, places.get(row[0], -1)) for row in rows] + [
        (*_given(row), unit, place) for place, (unit, row) in enumerate(published) if row[6] is None
    ]


@lru_cache
def _group_statement(is_mixed: bool, has_commands: bool, has_snapshots: bool) -> str:
    columns, kinds = f"{_NAMES}, {_PUBLISHED_NAMES}, unit", _row_types(is_mixed)
    new_rows = _NEW_ROWS
    if is_mixed:
        columns += ", place"
        new_rows += " ORDER BY place"
    first = 3 + len(_STREAM_TYPES)
    next_parameter = first + len(kinds)
    streams, given = (
        ", ".join(_as_array(number, kind) for number, kind in enumerate(types, start=number_of_first))
        for types, number_of_first in ((_STREAM_TYPES, 3), (kinds, first))
    )
    refused = "SELECT unit FROM streams WHERE expected <> actual"
    answers = "SELECT unit, stream, NULL AS receipt, expected, actual FROM streams WHERE expected <> actual"
    handled = ""
    # PostgreSQL runs them from the last to the first.
    inserts = [f"new_rows AS ({new_rows})"]
    if has_snapshots:
        inserts.append(f"new_snapshots AS ({_of_units(PUT_SNAPSHOTS, next_parameter)})")
        next_parameter += PUT_SNAPSHOTS.width + 1
    inserts.append(f"new_events AS ({_NEW_EVENTS})")
    if has_commands:
        ids, units = f"${next_parameter}::text[]", f"${next_parameter + INSERT_COMMANDS.width}::integer[]"
        handled = f"""handled AS MATERIALIZED (
            SELECT unit, command_id, receipt
            FROM unnest({ids}, {units}) AS given(command_id, unit) JOIN eventbus_commands USING (command_id)
        ), """  # noqa: S608 (our own words)
        refused += " UNION SELECT unit FROM handled"
        answers += " UNION ALL SELECT unit, command_id, receipt, NULL, NULL FROM handled"
        inserts.append(f"new_commands AS ({_of_units(INSERT_COMMANDS, next_parameter)})")
    return f"""
        WITH streams AS MATERIALIZED (
            SELECT unit, stream, expected, {_ACTUAL}
            FROM unnest({streams}) AS given(unit, stream, expected) WHERE unit IS NOT NULL
        ), {handled} refused AS MATERIALIZED ({refused}), given_rows AS MATERIALIZED (
            SELECT * FROM unnest({given}) AS given({columns})
            WHERE unit IS NOT NULL AND {_ACCEPTED}
        ), {", ".join(inserts)} {answers}
    """  # noqa: S608 (our own words)


def _row_types(is_mixed: bool) -> Sequence[str]:
    """Of the columns of `given_rows`: the event's, the outbox's own, the write's number and, if need be, the place."""
    return (*_TYPES, "integer", "integer") if is_mixed else (*_TYPES, "integer")


def _as_array(number: int, kind: str) -> str:
    """The array that a parameter of `_columns` stands for."""
    if kind == "bytea":
        return f"${number}::bytea[]"
    values = f"string_to_array(${number}::text, $1::text, $2::text)"
    return values if kind == "text" else f"{values}::{kind}[]"


def _parameters(
    streams: Sequence[tuple[Value, ...]], rows: Sequence[tuple[Value, ...]], is_mixed: bool
) -> list[object]:
    separator, null = _SEPARATOR, _NULL
    while True:
        values: list[object] = [separator, null]
        try:
            values += _columns(streams, _STREAM_TYPES, separator, null)
            values += _columns(rows, _row_types(is_mixed), separator, null)
        except _Ambiguous:
            # Somebody has control characters in an id.
            separator, null = f"{_SEPARATOR}{uuid4().hex}", f"{_NULL}{uuid4().hex}"
        else:
            return values


def _columns(rows: Sequence[tuple[Value, ...]], kinds: Sequence[str], separator: str, null: str) -> list[object]:
    """
    Each column as one text, its values with *separator* between them. asyncpg asks of each element of an array whether
    it is an array itself, which took a fifth of a command; this way it sees a value a column. Only data stay an array.

    Behind the last value there is a null: without it, one empty text would be no value at all.
    """
    if not rows:
        return [[] if kind == "bytea" else "" for kind in kinds]
    return [
        column if kind == "bytea" else _joined(column, kind, separator, null)
        for kind, column in zip(kinds, zip(*rows, strict=True), strict=True)
    ]


def _joined(column: Sequence[Value], kind: str, separator: str, null: str) -> str:
    if kind == "timestamptz":
        texts = list(map(time_to_text, cast("Sequence[datetime]", column)))
    elif kind != "text":
        texts = [null if value is None else str(value) for value in column]
    elif None in column:
        texts = [null if value is None else cast("str", value) for value in column]
    else:
        texts = list(cast("Sequence[str]", column))
    text = separator.join([*texts, null])
    if text.count(separator) != len(texts) or text.count(null) != 1 + column.count(None):
        raise _Ambiguous
    return text


class _Ambiguous(Exception):
    """A value has the separator, or what stands for null, in it."""


def _of_units(insert: BatchInsert, first_parameter: int) -> str:
    return f"{insert.select_of_units(first_parameter, _ACCEPTED)} {insert.ending}"
