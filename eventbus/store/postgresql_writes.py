"""
Group commit on PostgreSQL: one statement compares and inserts, and is a transaction by itself.

Parameters cost more than rows here, so there are two forms:

A group      an array a column, and the number of the write beside each row. Commands and snapshots are in the statement
             when the group has any. PostgreSQL runs inserts of one statement from the last to the first: so commands,
             events, snapshots, outbox, the order of `Transaction.flush`, and the two never deadlock
A lone one   what a single caller has nearly always, a few events of one stream: a parameter a value
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, cast

from eventbus.database import PostgresqlDriver
from eventbus.database.batches import BatchInsert, Value, arrays
from eventbus.database.inbox import INSERT_COMMANDS, command_row
from eventbus.database.outbox import INSERT_ROWS, outbox_values
from eventbus.errors import ConcurrencyConflict
from eventbus.store.event_rows import INSERT_EVENTS
from eventbus.store.snapshots import PUT_SNAPSHOTS, snapshot_values
from eventbus.store.writes import CommandRepeated, Refusal, Write

_LONE_ROWS_MAX: Final = 4
_ACTUAL: Final = "coalesce((SELECT max(e.version) FROM eventbus_events e WHERE e.stream = given.stream), 0) AS actual"
_ACCEPTED: Final = "unit NOT IN (SELECT unit FROM refused)"


async def write_on_postgresql(driver: PostgresqlDriver, writes: Sequence[Write]) -> list[Refusal | None]:
    """Write all that is not refused; for each write its refusal, or None."""
    if len(writes) == 1 and _is_small(writes[0]):
        return [await _write_lone(driver, writes[0])]
    return await _write_group(driver, writes)


def _is_small(write: Write) -> bool:
    return (
        len(write.appends) == 1
        and len(write.appends[0].append.events) <= _LONE_ROWS_MAX
        and len(write.outbox) <= _LONE_ROWS_MAX
        and not write.commands
        and not write.snapshots
    )


async def _write_lone(driver: PostgresqlDriver, write: Write) -> Refusal | None:
    one = write.appends[0]
    rows = one.rows()
    values: list[Value] = [one.append.stream, one.base]
    for row in rows:
        values += row
    for outbox_row in write.outbox:
        values += outbox_values(outbox_row)
    found = await driver.fetch(_lone_statement(len(rows), len(write.outbox)), *values)
    actual = cast("int", found[0][0])
    return None if actual == one.base else ConcurrencyConflict(one.append.stream, one.base, actual)


@lru_cache
def _lone_statement(events: int, rows: int) -> str:
    parts = [
        f"""
        WITH expected AS MATERIALIZED (
            SELECT given.expected, {_ACTUAL} FROM (SELECT $1::text, $2::bigint) AS given(stream, expected)
        )""",  # noqa: S608 (our own words)
        f"new_events AS ({INSERT_EVENTS.select_of_values(3, events, _AS_EXPECTED)})",
    ]
    if rows:
        first = 3 + events * INSERT_EVENTS.width
        parts.append(f"new_rows AS ({INSERT_ROWS.select_of_values(first, rows, _AS_EXPECTED)})")
    return f"{', '.join(parts)} SELECT actual FROM expected"  # noqa: S608 (our own words)


_AS_EXPECTED: Final = "EXISTS (SELECT FROM expected WHERE expected = actual)"


async def _write_group(driver: PostgresqlDriver, writes: Sequence[Write]) -> list[Refusal | None]:
    # In one order, so that two processes that append to the same streams wait for each other and never deadlock.
    appends = sorted(
        ((unit, one) for unit, write in enumerate(writes) for one in write.appends),
        key=lambda found: found[1].append.stream,
    )
    commands = sorted(
        ((unit, command) for unit, write in enumerate(writes) for command in write.commands),
        key=lambda found: found[1],
    )
    snapshots = sorted((*snapshot_values(one), unit) for unit, write in enumerate(writes) for one in write.snapshots)
    values: list[object] = [
        [unit for unit, _ in appends],
        [one.append.stream for _, one in appends],
        [one.base for _, one in appends],
        *_columns(
            INSERT_ROWS, [(*outbox_values(row), unit) for unit, write in enumerate(writes) for row in write.outbox]
        ),
    ]
    if snapshots:
        values += _columns(PUT_SNAPSHOTS, snapshots)
    values += _columns(INSERT_EVENTS, [(*row, unit) for unit, one in appends for row in one.rows()])
    if commands:
        values += _columns(INSERT_COMMANDS, [(*command_row(*command), unit) for unit, command in commands])
    refused = await driver.fetch(_group_statement(bool(commands), bool(snapshots)), *values)
    refusals: list[Refusal | None] = [None] * len(writes)
    for unit, name, receipt, expected, actual in cast("Sequence[tuple[int, str, str | None, int, int]]", refused):
        if receipt is not None:
            refusals[unit] = CommandRepeated(name, receipt)
        elif refusals[unit] is None:
            refusals[unit] = ConcurrencyConflict(name, expected, actual)
    return refusals


@lru_cache
def _group_statement(has_commands: bool, has_snapshots: bool) -> str:
    next_parameter = 4
    inserts: list[str] = []
    refused = "SELECT unit FROM streams WHERE expected <> actual"
    answers = "SELECT unit, stream, NULL AS receipt, expected, actual FROM streams WHERE expected <> actual"
    handled = ""
    for name, insert, is_wanted in (
        ("new_rows", INSERT_ROWS, True),
        ("new_snapshots", PUT_SNAPSHOTS, has_snapshots),
        ("new_events", INSERT_EVENTS, True),
        ("new_commands", INSERT_COMMANDS, has_commands),
    ):
        if not is_wanted:
            continue
        if insert is INSERT_COMMANDS:
            ids, units = f"${next_parameter}::text[]", f"${next_parameter + insert.width}::integer[]"
            handled = f"""handled AS MATERIALIZED (
                SELECT unit, command_id, receipt
                FROM unnest({ids}, {units}) AS given(command_id, unit) JOIN eventbus_commands USING (command_id)
            ), """  # noqa: S608 (our own words)
            refused += " UNION SELECT unit FROM handled"
            answers += " UNION ALL SELECT unit, command_id, receipt, NULL, NULL FROM handled"
        inserts.append(f"{name} AS ({insert.select_of_units(next_parameter, _ACCEPTED)} {insert.ending})")
        next_parameter += insert.width + 1
    return f"""
        WITH streams AS MATERIALIZED (
            SELECT unit, stream, expected, {_ACTUAL}
            FROM unnest($1::integer[], $2::text[], $3::bigint[]) AS given(unit, stream, expected)
        ), {handled} refused AS MATERIALIZED ({refused}), {", ".join(inserts)} {answers}
    """  # noqa: S608 (our own words)


def _columns(insert: BatchInsert, rows: Sequence[tuple[Value, ...]]) -> Sequence[list[Value]]:
    """One array a column and one for the writes' numbers; without rows they are empty, and still there."""
    return arrays(rows) if rows else [[] for _ in range(insert.width + 1)]
