"""
Group commit: writes that are waiting at the same time go into one transaction of the database.

A `Write` holds all that one message wants to have written, and rows of the framework alone, so its fate is known from
the statement itself: a stream that is not as expected, or a command that was handled before, fails that write, and the
others of its group are committed. A group is what has come while the one before it was being written; nobody waits for
a timer, and a lone caller has a group of its own.

    PostgreSQL   one statement, one round trip: compare, and insert what has not been refused
    SQLite       one function on the writer's thread: compare, insert, commit

A stream, or a command, is in a group once; who comes second waits for the next group, and is then compared with what
the first has left. Another process's append that the statement cannot see yet is a violation of the primary key: the
whole statement is run again, and sees it.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy.exc import DBAPIError, IntegrityError

from eventbus.database import Database, Direct, OutboxRow, PostgresqlDriver
from eventbus.database.batches import Value, arrays, sqlite_values
from eventbus.database.inbox import INSERT_COMMANDS, command_row
from eventbus.database.outbox import INSERT_ROWS, outbox_values
from eventbus.errors import ConcurrencyConflict, EventBusError
from eventbus.store.event_rows import INSERT_EVENTS, event_rows
from eventbus.store.snapshots import PUT_SNAPSHOTS, Snapshot, snapshot_values
from eventbus.store.streams import Append

_GROUP_MAX: Final = 500
_ATTEMPTS: Final = 5

_UNIQUE_VIOLATION: Final = "23505"


@dataclass(frozen=True, slots=True)
class ExactAppend:
    """An append whose stream is to be at version *base*."""

    append: Append
    base: int


@dataclass(frozen=True, slots=True)
class Write:
    """
    What is committed together, or not at all.

    commands   ids and receipts of commands that are to be handled once
    """

    appends: Sequence[ExactAppend]
    outbox: Sequence[OutboxRow]
    commands: Sequence[tuple[str, str]] = ()
    snapshots: Sequence[Snapshot] = ()


class CommandRepeated(EventBusError):
    """A command of this id has been handled, by somebody else and meanwhile; nothing was written. Has its receipt."""

    def __init__(self, command_id: str, receipt: str) -> None:
        super().__init__(f"command {command_id!r} has been handled already")
        self.command_id = command_id
        self.receipt = receipt


_Refusal = ConcurrencyConflict | CommandRepeated


@dataclass(slots=True, eq=False)
class _Waiting:
    write: Write
    done: "asyncio.Future[None]"
    is_taken: bool = False
    is_settled: bool = False

    def settle(self, error: BaseException | None) -> None:
        """Tell the caller what became of it."""
        self.is_settled = True
        if self.done.done():
            return  # the caller has been cancelled at this very moment
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


class GroupCommit:
    """The one way in for the writes of a database; any number of tasks may call it at the same time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: deque[_Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def commit(self, write: Write) -> None:
        """
        Commit *write*. Raises ConcurrencyConflict and CommandRepeated: this write was refused, nothing of it is there;
        DatabaseUnavailable. Cancellation takes back what is still waiting, and waits for what is being written.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(write, loop.create_future())
        self._waiting.append(waiting)
        if self._writing is None:
            # Of nobody's task group: the group's fate must not hang on the one caller that happened to be the first.
            self._writing = loop.create_task(self._write_waiting())
        try:
            await waiting.done
        except asyncio.CancelledError:
            if not waiting.is_taken:
                self._waiting.remove(waiting)
            while waiting.is_taken and not waiting.is_settled:
                waiting.done = loop.create_future()
                with suppress(Exception, asyncio.CancelledError):
                    await waiting.done
            raise

    async def _write_waiting(self) -> None:
        try:
            while self._waiting:
                await self._write(self._take())
        finally:
            self._writing = None

    def _take(self) -> list[_Waiting]:
        """The next group: no stream and no command twice. Who is left over keeps its place."""
        group: list[_Waiting] = []
        left: list[_Waiting] = []
        taken: set[str] = set()
        while self._waiting and len(group) < _GROUP_MAX:
            waiting = self._waiting.popleft()
            names = [one.append.stream for one in waiting.write.appends]
            names += [f"\0{command_id}" for command_id, _ in waiting.write.commands]
            if taken.isdisjoint(names):
                waiting.is_taken = True
                group.append(waiting)
            else:
                left.append(waiting)
            # Also of who is left over, so that nobody overtakes it.
            taken.update(names)
        self._waiting.extendleft(reversed(left))
        return group

    async def _write(self, group: Sequence[_Waiting]) -> None:
        attempt = 1
        while True:
            try:
                refusals = await self._database.write(_direct([waiting.write for waiting in group]))
            except EventBusError as error:
                _fail(group, error)
                return
            except BaseException as error:
                if _is_race(error) and attempt < _ATTEMPTS:
                    attempt += 1
                elif len(group) > 1 and isinstance(error, Exception):
                    # One of them cannot be written: each alone, so that it is refused alone.
                    for waiting in group:
                        await self._write([waiting])
                    return
                else:
                    _fail(group, _as_sqlalchemy(error))
                    if not isinstance(error, Exception):
                        raise
                    return
            else:
                for waiting, refusal in zip(group, refusals, strict=True):
                    waiting.settle(refusal)
                return


def _fail(group: Sequence[_Waiting], error: BaseException) -> None:
    for waiting in group:
        waiting.settle(error)


def _is_race(error: BaseException) -> bool:
    return getattr(error, "sqlstate", None) == _UNIQUE_VIOLATION


def _as_sqlalchemy(error: BaseException) -> BaseException:
    """A driver's error as the rest of the framework, and its users, know it."""
    if not isinstance(error, Exception):
        return error
    is_integrity = isinstance(error, sqlite3.IntegrityError) or str(getattr(error, "sqlstate", "")).startswith("23")
    translated = IntegrityError(None, None, error) if is_integrity else DBAPIError(None, None, error)
    translated.__cause__ = error
    return translated


def _direct(writes: Sequence[Write]) -> Direct[list[_Refusal | None]]:
    return Direct(lambda database: _on_sqlite(database, writes), lambda driver: _on_postgresql(driver, writes))


_VERSION: Final = "SELECT coalesce(max(version), 0) FROM eventbus_events WHERE stream = ?"
_RECEIPT: Final = "SELECT receipt FROM eventbus_commands WHERE command_id = ?"


def _on_sqlite(database: sqlite3.Connection, writes: Sequence[Write]) -> list[_Refusal | None]:
    refusals = [_refusal_on_sqlite(database, write) for write in writes]
    accepted = [write for write, refusal in zip(writes, refusals, strict=True) if refusal is None]
    for statement, rows in (
        (INSERT_EVENTS.sqlite, [row for write in accepted for one in write.appends for row in _event_rows(one)]),
        (INSERT_ROWS.sqlite, [outbox_values(row) for write in accepted for row in write.outbox]),
        (INSERT_COMMANDS.sqlite, [command_row(*command) for write in accepted for command in write.commands]),
        (PUT_SNAPSHOTS.sqlite, [snapshot_values(one) for write in accepted for one in write.snapshots]),
    ):
        if rows:
            database.executemany(statement, map(sqlite_values, rows))
    return refusals


def _refusal_on_sqlite(database: sqlite3.Connection, write: Write) -> _Refusal | None:
    for command_id, _ in write.commands:
        found = database.execute(_RECEIPT, (command_id,)).fetchone()
        if found is not None:
            return CommandRepeated(command_id, found[0])
    for one in write.appends:
        actual: int = database.execute(_VERSION, (one.append.stream,)).fetchone()[0]
        if actual != one.base:
            return ConcurrencyConflict(one.append.stream, one.base, actual)
    return None


# $1-$3 expected versions, $4-$5 commands, then the rows of each table with the number of the write they belong to.
_ACCEPTED: Final = "unit NOT IN (SELECT unit FROM refused)"
_AT_EVENTS: Final = 6
_AT_OUTBOX: Final = _AT_EVENTS + INSERT_EVENTS.width + 1
_AT_COMMANDS: Final = _AT_OUTBOX + INSERT_ROWS.width + 1
_AT_SNAPSHOTS: Final = _AT_COMMANDS + INSERT_COMMANDS.width + 1
_WRITE: Final = f"""
    WITH streams AS MATERIALIZED (
        SELECT unit, stream, expected,
               coalesce((SELECT max(e.version) FROM eventbus_events e WHERE e.stream = given.stream), 0) AS actual
        FROM unnest($1::integer[], $2::text[], $3::bigint[]) AS given(unit, stream, expected)
    ), handled AS MATERIALIZED (
        SELECT unit, command_id, receipt
        FROM unnest($4::integer[], $5::text[]) AS given(unit, command_id) JOIN eventbus_commands USING (command_id)
    ), refused AS MATERIALIZED (
        SELECT unit FROM streams WHERE expected <> actual UNION SELECT unit FROM handled
    ), new_events AS (
        {INSERT_EVENTS.select_of_units(_AT_EVENTS, _ACCEPTED)}
    ), new_rows AS (
        {INSERT_ROWS.select_of_units(_AT_OUTBOX, _ACCEPTED)}
    ), new_commands AS (
        {INSERT_COMMANDS.select_of_units(_AT_COMMANDS, _ACCEPTED)}
    ), new_snapshots AS (
        {PUT_SNAPSHOTS.select_of_units(_AT_SNAPSHOTS, _ACCEPTED)} {PUT_SNAPSHOTS.ending}
    )
    SELECT unit, command_id, receipt, NULL::bigint, NULL::bigint FROM handled
    UNION ALL
    SELECT unit, stream, NULL, expected, actual FROM streams WHERE expected <> actual
"""  # noqa: S608 (names of our own columns)


async def _on_postgresql(driver: PostgresqlDriver, writes: Sequence[Write]) -> list[_Refusal | None]:
    # In one order, so that two processes that append to the same streams wait for each other and never deadlock.
    appends = sorted(
        ((unit, one) for unit, write in enumerate(writes) for one in write.appends),
        key=lambda found: found[1].append.stream,
    )
    commands = sorted(
        ((unit, command) for unit, write in enumerate(writes) for command in write.commands),
        key=lambda found: found[1],
    )
    refused = await driver.fetch(
        _WRITE,
        [unit for unit, _ in appends],
        [one.append.stream for _, one in appends],
        [one.base for _, one in appends],
        [unit for unit, _ in commands],
        [command_id for _, (command_id, _) in commands],
        *_columns([(*row, unit) for unit, one in appends for row in _event_rows(one)], INSERT_EVENTS.width),
        *_columns(
            [(*outbox_values(row), unit) for unit, write in enumerate(writes) for row in write.outbox],
            INSERT_ROWS.width,
        ),
        *_columns([(*command_row(*command), unit) for unit, command in commands], INSERT_COMMANDS.width),
        *_columns(
            [(*snapshot_values(one), unit) for unit, write in enumerate(writes) for one in write.snapshots],
            PUT_SNAPSHOTS.width,
        ),
    )
    refusals: list[_Refusal | None] = [None] * len(writes)
    for unit, name, receipt, expected, actual in cast("Sequence[tuple[int, str, str | None, int, int]]", refused):
        if refusals[unit] is None:
            refusals[unit] = (
                ConcurrencyConflict(name, expected, actual) if receipt is None else CommandRepeated(name, receipt)
            )
    return refusals


def _event_rows(one: ExactAppend) -> list[tuple[Value, ...]]:
    return event_rows(one.append, one.base)


def _columns(rows: Sequence[tuple[Value, ...]], width: int) -> Sequence[list[Value]]:
    """One array a column and one for the writes' numbers; without rows they are empty, and still there."""
    return arrays(rows) if rows else [[] for _ in range(width + 1)]
