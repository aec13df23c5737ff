"""
The transaction of messages' effects: what the framework writes when their handlers have returned.

A `Transaction` is for one message or for a batch of them. Each message has a `UnitOfWork` in it.

A transaction that was begun *lazily* is none of the database until somebody opens it: aggregates are loaded from
snapshots of their own, as the expected version protects what was decided on them, and at the end it is written in a
group with others (see `group_commit`). What needs the database's own transaction, the connection and the session, needs
it to be opened before.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.clock import Clock
from eventbus.database import CommandInbox, Database, Outbox
from eventbus.messages import Metadata
from eventbus.store.event_rows import outbox_row
from eventbus.store.event_store import EventStore
from eventbus.store.group_commit import GroupCommit
from eventbus.store.group_load import GroupLoad
from eventbus.store.pending import Pending
from eventbus.store.snapshots import Snapshot, Snapshots, reading_of_snapshot
from eventbus.store.streams import History, StoredEvent
from eventbus.store.unit_of_work import Cause, UnitOfWork
from eventbus.store.writes import CommandRepeated


@dataclass(frozen=True, slots=True)
class Means:
    """
    What all transactions of a database work with.

    groups      group commit and group load; None where the event store or the outbox is somebody else's
    listeners   called after each commit that left something in the outbox
    """

    database: Database
    source: str
    event_store: EventStore
    outbox: Outbox
    clock: Clock
    groups: tuple[GroupCommit, GroupLoad] | None
    listeners: Sequence[Callable[[], None]]


class Transaction(AbstractAsyncContextManager["Transaction"]):
    """
    One transaction, with what the framework will write in it; as a context it is flushed and committed when the block
    ends, and rolled back when that raises.
    """

    # A class and no generator: every command goes through it, and a lazy one is to cost next to nothing.
    __slots__ = ("_begun", "_connection", "_is_lazy", "_means", "_pending", "_units", "announces", "source")

    def __init__(self, means: Means, *, is_lazy: bool) -> None:
        self.source = means.source
        self._means = means
        self._is_lazy = is_lazy
        self.announces = False
        """Whether something for the log was flushed: the relay has work when this transaction has committed."""
        self._begun: AbstractAsyncContextManager[AsyncConnection] | None = None
        self._connection: AsyncConnection | None = None
        self._pending: Pending | None = None
        self._units: list[UnitOfWork] = []

    async def __aenter__(self) -> Self:
        if not self._is_lazy:
            await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            await self._end(kind, error, traceback)
            return
        try:
            await self._finish()
        except BaseException as raised:
            await self._end(type(raised), raised, raised.__traceback__)
            raise
        await self._end(None, None, None)
        if self.announces:
            for listener in self._means.listeners:
                listener()

    @property
    def connection(self) -> AsyncConnection:
        """The connection of the database's transaction."""
        if self._connection is None:
            raise RuntimeError(
                "no transaction of the database is open here: take the UnitOfWork as a parameter of the handler, which "
                "opens one before it is called, or `await unit_of_work.open()`"
            )
        return self._connection

    @property
    def is_open(self) -> bool:
        """Whether the database has begun its transaction."""
        return self._connection is not None

    def expected(self) -> Iterator[tuple[str, int]]:
        """The streams that are to be appended to at a version, and the version."""
        for stream, pending in () if self._pending is None else self._pending.streams.items():
            if pending.base is not None:
                yield stream, pending.base

    async def open(self) -> None:
        """Begin the database's transaction; again is nothing. What was loaded before was loaded outside of it."""
        if self._connection is None:
            begun = self._means.database.transaction()
            self._connection = await begun.__aenter__()
            self._begun = begun

    def unit_of_work(self, cause: Metadata | Cause) -> UnitOfWork:
        """A unit for the message that *cause* describes."""
        unit = UnitOfWork(self, cause)
        self._units.append(unit)
        return unit

    def now(self) -> datetime:
        """The time of what is recorded now."""
        return self._means.clock.now()

    async def load(self, stream: str, *, after_version: int = 0) -> list[StoredEvent]:
        """The stream's events behind *after_version*, with those of completed units."""
        means = self._means
        if self._connection is not None:
            stored = await means.event_store.load(self._connection, stream, after_version=after_version)
        elif means.groups is not None:
            stored = await means.groups[1].load(stream, after_version)
        else:
            async with means.database.reading() as connection:
                stored = await means.event_store.load(connection, stream, after_version=after_version)
        if self._pending is None:
            return stored
        return stored + self._pending.after(stream, stored[-1].version if stored else after_version)

    async def history(self, stream: str, *, after_version: int = 0) -> History:
        """The same events, as much of each as a state is made of again."""
        means = self._means
        if self._connection is not None or means.groups is None:
            return [event.history_row for event in await self.load(stream, after_version=after_version)]
        stored = await means.groups[1].history(stream, after_version)
        if self._pending is None:
            return stored
        pending = self._pending.after(stream, after_version + len(stored))
        return [*stored, *(event.history_row for event in pending)]

    async def find_snapshot(self, stream: str, snapshot_version: int) -> Snapshot | None:
        """The stream's snapshot of that shape, in the database or about to be."""
        pending = None if self._pending is None else self._pending.snapshots.get(stream)
        if pending is not None and pending.snapshot_version == snapshot_version:
            return pending
        if self._connection is not None:
            return await Snapshots().find(self._connection, stream, snapshot_version)
        return await self._means.database.read(reading_of_snapshot(stream, snapshot_version))

    async def find_command(self, command_id: str) -> str | None:
        """The receipt (JSON) of a command that was handled under this id, here or before; None: none was."""
        receipt = None if self._pending is None else self._pending.commands.get(command_id)
        if receipt is not None:
            return receipt
        if self._connection is not None:
            return await CommandInbox().find(self._connection, command_id)
        if self._means.groups is not None:
            return await self._means.groups[1].receipt(command_id)
        return await self._means.database.read(CommandInbox.finding(command_id))

    def remember_command(self, command_id: str, receipt: str) -> None:
        """
        Record the receipt (JSON) with the rest. When somebody else was first, this transaction ends with
        CommandRepeated, which has the first receipt.
        """
        if self._pending is None:
            self._pending = Pending()
        self._pending.commands[command_id] = receipt

    def take(self, pending: Pending) -> None:
        """Keep all that a unit has completed with. Raises ConcurrencyConflict when another was first at a stream."""
        if self._pending is None:
            self._pending = pending
        else:
            self._pending.join(pending)

    async def flush(self) -> None:
        """
        Write everything that units have completed with, with one statement a table. Raises ConcurrencyConflict and
        CommandRepeated; the transaction is then to be rolled back, as what the units did beside it belongs to it.
        """
        await self.open()
        pending, self._pending = self._pending, None
        if pending is None:
            return
        # In the order of group commit, which takes the same locks.
        for command_id, receipt in sorted(pending.commands.items()):
            first = await CommandInbox().record(self.connection, command_id, receipt)
            if first is not None:
                raise CommandRepeated(command_id, first)
        appended = await self._means.event_store.append(self.connection, list(pending.appends()))
        await Snapshots().put(self.connection, [snapshot for _, snapshot in sorted(pending.snapshots.items())])
        rows = [outbox_row(row) for row in pending.rows_after(appended)]
        await self._means.outbox.add(self.connection, rows)
        self.announces = self.announces or bool(rows)

    async def _finish(self) -> None:
        """The block has ended well: flush, or, where the database has no transaction for it yet, commit in a group."""
        if self._connection is None:
            if not self._pending:
                return
            write = None if self._means.groups is None else self._pending.write()
            if write is not None and self._means.groups is not None:
                await self._means.groups[0].commit(write)
                self.announces = bool(write.outbox)
                return
        await self.flush()

    async def _end(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Commit what the database has begun, or roll it back for *error*; sessions end before it."""
        units, self._units = self._units, []
        for unit in units:
            await unit.close()
        if self._begun is not None:
            await self._begun.__aexit__(kind, error, traceback)
