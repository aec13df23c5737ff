"""
Group commit: writes that are waiting at the same time go into one transaction of the database.

A `Write` holds all that one message wants to have written, and rows of the framework alone, so its fate is known from
the statement itself: a stream that is not as expected, or a command that was handled before, fails that write, and the
others of its group are committed. A group is what has come while the one before it was being written; nobody waits for
a timer, and a lone caller has a group of its own.

    PostgreSQL   one statement, one round trip: compare, and insert what has not been refused. Two groups may be on
                 their way at a time: while the server writes one, callers make the other
    SQLite       one function on the writer's thread: compare, insert, commit

A stream, or a command, is on its way once; who comes second waits until it is back, and is then compared with what the
first has left. Another process's append that the statement cannot see yet is a violation of the primary key: the whole
statement is run again, and sees it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import anyio

from eventbus.database import Database, Direct
from eventbus.errors import ConcurrencyConflict, EventBusError
from eventbus.store.failures import for_each
from eventbus.store.postgresql_writes import write_on_postgresql
from eventbus.store.sqlite_writes import made_ready, write_on_sqlite
from eventbus.store.writes import Refusal, Write

_GROUP_MAX: Final = 500
_GROUPS_MAX: Final = {"postgresql": 2, "sqlite": 1}
# A statement costs as much as some ten rows: fewer than these are not shared out among groups.
_SHARED_MIN: Final = 16
_ATTEMPTS: Final = 5
# An append that any version will do for loses the race to other processes only so often.
_SIGHTINGS: Final = 20

# Unique violation, and a deadlock with a transaction in which a handler writes other things too.
_RACES: Final = frozenset({"23505", "40P01"})


@dataclass(slots=True, eq=False)
class _Waiting:
    write: Write
    names: Sequence[str]
    done: "asyncio.Future[None]"
    is_taken: bool = False
    is_settled: bool = False

    def is_settled_by(self, refusal: Refusal | None, *, may_go_on: bool) -> bool:
        """Tell the caller; or keep it waiting, where the refusal is but the answer to where a stream is."""
        if may_go_on and isinstance(refusal, ConcurrencyConflict) and refusal.actual is not None:
            write = self.write.seen(refusal.stream, refusal.actual)
            if write is not None:
                self.write = write
                return False
        self.settle(refusal if refusal is None else self.write.in_its_words(refusal))
        return True

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
        self._groups_max = _GROUPS_MAX[database.dialect]
        # The loop itself holds its tasks weakly.
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers = 0
        self._groups = 0
        self._on_their_way: set[str] = set()

    async def commit(self, write: Write) -> None:
        """
        Commit *write*. Raises ConcurrencyConflict and CommandRepeated: this write was refused, nothing of it is there;
        DatabaseUnavailable. Cancellation takes back what is still waiting, and waits for what is being written.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(write, _names(write), loop.create_future())
        self._waiting.append(waiting)
        if self._writers < self._groups_max:
            # Of nobody's task group: the group's fate must not hang on the one caller that happened to be the first.
            # Counted here and not by its callback, which is late: callers that it has woken come back before.
            self._writers += 1
            task = loop.create_task(self._write_waiting())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            await waiting.done
        except asyncio.CancelledError:
            if not waiting.is_taken:
                self._waiting.remove(waiting)
            while waiting.is_taken and not waiting.is_settled:
                waiting.done = loop.create_future()
                with anyio.CancelScope(shield=True), suppress(Exception, asyncio.CancelledError):
                    await waiting.done
            raise

    async def _write_waiting(self) -> None:
        try:
            while group := self._take():
                names = {name for waiting in group for name in waiting.names}
                self._on_their_way |= names
                self._groups += 1
                try:
                    await self._write(group)
                finally:
                    self._groups -= 1
                    self._on_their_way -= names
        finally:
            self._writers -= 1

    def _take(self) -> list[_Waiting]:
        """
        The next group: no stream and no command twice, nor one that is on its way. Who is left over keeps its place.
        """
        count = len(self._waiting)
        size = count if count < _SHARED_MIN else min(_GROUP_MAX, -(-count // (self._groups_max - self._groups)))
        group: list[_Waiting] = []
        left: list[_Waiting] = []
        taken = set(self._on_their_way)
        while self._waiting and len(group) < size:
            waiting = self._waiting.popleft()
            if taken.isdisjoint(waiting.names):
                waiting.is_taken = True
                group.append(waiting)
            else:
                left.append(waiting)
            # Also of who is left over, so that nobody overtakes it.
            taken.update(waiting.names)
        self._waiting.extendleft(reversed(left))
        return group

    def _direct(self, writes: Sequence[Write]) -> Direct[list[Refusal | None]]:
        # What SQLite's thread is given is made ready here: there it would be made while the database is held.
        ready = made_ready(writes) if self._database.dialect == "sqlite" else ()
        return Direct(
            lambda database: write_on_sqlite(database, ready), lambda driver: write_on_postgresql(driver, writes)
        )

    async def _write(self, group: Sequence[_Waiting]) -> None:
        races = sightings = 0
        while True:
            try:
                refusals = await self._database.write(self._direct([waiting.write for waiting in group]))
            except BaseException as error:
                races += 1
                if _is_race(error) and races < _ATTEMPTS:
                    continue
                if len(group) > 1 and isinstance(error, Exception) and not isinstance(error, EventBusError):
                    # One of them cannot be written: each alone, so that it is refused alone.
                    for waiting in group:
                        await self._write([waiting])
                    return
                _fail(group, error)
                if not isinstance(error, Exception):
                    raise
                return
            sightings += 1
            left = [
                waiting
                for waiting, refusal in zip(group, refusals, strict=True)
                if not waiting.is_settled_by(refusal, may_go_on=sightings < _SIGHTINGS)
            ]
            if not left:
                return
            group = left


def _names(write: Write) -> Sequence[str]:
    """What must not be on its way twice."""
    streams = [one.stream for one in write.appends]
    return [*streams, *(f"\0{command_id}" for command_id, _ in write.commands)] if write.commands else streams


def _fail(group: Sequence[_Waiting], error: BaseException) -> None:
    for waiting, own in zip(group, for_each(error, len(group)), strict=True):
        waiting.settle(own)


def _is_race(error: BaseException) -> bool:
    """Whether somebody else's transaction was in the way, whose end the next attempt will see."""
    return any(getattr(one, "sqlstate", None) in _RACES for one in (error, error.__cause__))
