"""
The transaction of a message's effects: what a handler may ask for, and what the framework writes when it has returned.

A `Transaction` is for one message or for a batch of them. Each message has a `UnitOfWork` in it. Events that a unit
appends, and what it publishes, are kept in memory until the end, and then written together, however many there are. A
unit whose handler fails is dropped with what it kept.

A transaction that was begun *lazily* is none of the database until somebody opens it: aggregates are loaded from
snapshots of their own, as the expected version protects what was decided on them, and at the end it is written in a
group with others (see `group_commit`). What needs the database's own transaction, the connection and the session, needs
it to be opened before.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from eventbus.clock import Clock
from eventbus.database import CommandInbox, Database, Outbox, OutboxRow
from eventbus.messages import Envelope, Event, Metadata
from eventbus.observability import current_traceparent
from eventbus.serialization import encode
from eventbus.store.event_store import EventStore
from eventbus.store.group_commit import GroupCommit
from eventbus.store.group_load import GroupLoad
from eventbus.store.identifiers import new_event_id
from eventbus.store.pending import Pending
from eventbus.store.snapshots import Snapshot, Snapshots, reading_of_snapshot
from eventbus.store.streams import Expect, ExpectedVersion, StoredEvent
from eventbus.store.writes import CommandRepeated
from eventbus.transport.partitioning import slot_of


class UnitOfWork:
    """
    One message's part of a transaction. For a service's own tables there are `connection` and `session`: what they do
    is committed with the message's events, or rolled back with them. Committing is the framework's.
    """

    def __init__(self, transaction: "Transaction", metadata: Metadata) -> None:
        self.transaction = transaction
        self.metadata = metadata
        self.event_ids: list[str] = []
        self._pending = Pending()
        self._callbacks: list[Callable[[], None]] = []
        self._session: AsyncSession | None = None
        self._completed = False

    @property
    def connection(self) -> AsyncConnection:
        """The transaction's connection, for SQLAlchemy Core. RuntimeError when it has none (see `open`)."""
        return self.transaction.connection

    @property
    def session(self) -> AsyncSession:
        """An ORM session on that connection, flushed when the handler has returned."""
        if self._session is None:
            self._session = AsyncSession(
                bind=self.connection, expire_on_commit=False, join_transaction_mode="rollback_only"
            )
        return self._session

    async def open(self) -> None:
        """
        Have a transaction of the database from here on. A handler that asks for the UnitOfWork finds it open.
        """
        await self.transaction.open()

    async def load(self, stream: str, *, after_version: int = 0) -> list[StoredEvent]:
        """The stream's events behind *after_version*, those among them that this transaction has yet to write."""
        stored = await self.transaction.load(stream, after_version=after_version)
        return stored + self._pending.after(stream, stored[-1].version if stored else after_version)

    async def load_snapshot(self, stream: str, snapshot_version: int) -> tuple[Snapshot | None, list[StoredEvent]]:
        """The stream's snapshot of that shape, where there is one, and the events behind it."""
        snapshot = await self.transaction.find_snapshot(stream, snapshot_version)
        return snapshot, await self.load(stream, after_version=0 if snapshot is None else snapshot.stream_version)

    def append(
        self,
        stream: str,
        expected_version: ExpectedVersion,
        events: Sequence[Event],
        *,
        topic: str | None,
        key: str,
        category: str,
        ids: Sequence[str] | None = None,
    ) -> None:
        """
        Append to the stream when it is at *expected_version*, and publish to *topic* (None: not at all) under *key*.

        With *ids*, one an event, a repeat of what was appended under the same ids before is passed over.

        Raises ConcurrencyConflict: now, when this unit has appended something else to the stream; otherwise when the
        transaction is flushed.
        """
        self._refuse_when_completed()
        first = expected_version + 1 if isinstance(expected_version, int) else _FIRST.get(expected_version)
        stored: list[StoredEvent] = []
        for at, event in enumerate(events):
            version = None if first is None else first + at
            envelope = self._envelope(event, key, stream, version, None if ids is None else ids[at])
            stored.append(StoredEvent(envelope, encode(event)))
        self._pending.append(stream, expected_version, stored, category, topic)
        self._pending.has_given_ids |= ids is not None
        self.event_ids.extend(event.envelope.id for event in stored)
        if topic is not None:
            self._pending.rows.extend(
                _outbox_row(event.envelope, event.data, topic, key, category, key) for event in stored
            )

    def put_snapshot(self, stream: str, stream_version: int, snapshot_version: int, state: bytes) -> None:
        """Keep *state*, which has the stream's events up to *stream_version* in it."""
        self._refuse_when_completed()
        self._pending.snapshots[stream] = Snapshot(
            stream, stream_version, snapshot_version, state, self.transaction.now()
        )

    def publish(self, event: Event, *, topic: str, key: str | None) -> str:
        """Publish an event that belongs to no stream of this service; its id."""
        self._refuse_when_completed()
        envelope = self._envelope(event, key)
        self._pending.rows.append(
            _outbox_row(envelope, encode(event), topic, key, category=topic, aggregate_id=key or envelope.id)
        )
        self.event_ids.append(envelope.id)
        return envelope.id

    def before_complete(self, callback: Callable[[], None]) -> None:
        """Have *callback* called when the handler has returned: the last chance to append or publish."""
        self._callbacks.append(callback)

    async def complete(self) -> None:
        """The handler has returned: call the callbacks, flush the session, give what was kept to the transaction."""
        self._refuse_when_completed()
        for callback in self._callbacks:
            callback()
        self._completed = True
        if self._session is not None:
            await self._session.flush()
        pending, self._pending = self._pending, Pending()
        self.transaction.take(pending)

    async def close(self) -> None:
        """Let go of the session; what was not completed is dropped."""
        self._completed = True
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _envelope(
        self,
        event: Event,
        subject: str | None,
        stream: str | None = None,
        stream_version: int | None = None,
        id: str | None = None,
    ) -> Envelope:
        handled = self.metadata
        return Envelope(
            id or new_event_id(),
            event.message_name,
            event.message_version,
            self.transaction.source,
            self.transaction.now(),
            subject,
            stream,
            stream_version,
            handled.correlation_id or handled.id,
            handled.id,
            current_traceparent() or handled.traceparent,
        )

    def _refuse_when_completed(self) -> None:
        if self._completed:
            raise RuntimeError(
                f"the unit of work of {self.metadata.type} {self.metadata.id} is over: "
                "append and publish before the handler returns"
            )


class Transaction:
    """One transaction, with what the framework will write in it."""

    def __init__(
        self,
        database: Database,
        source: str,
        event_store: EventStore,
        outbox: Outbox,
        clock: Clock,
        group_commit: GroupCommit | None,
        group_load: GroupLoad | None,
    ) -> None:
        self.source = source
        self.announces = False
        """Whether something for the log was flushed: the relay has work when this transaction has committed."""
        self._database = database
        self._event_store = event_store
        self._outbox = outbox
        self._clock = clock
        self._group_commit = group_commit
        self._group_load = group_load
        self._begun: AbstractAsyncContextManager[AsyncConnection] | None = None
        self._connection: AsyncConnection | None = None
        self._pending = Pending()
        self._units: list[UnitOfWork] = []

    @property
    def connection(self) -> AsyncConnection:
        """The connection of the database's transaction."""
        if self._connection is None:
            raise RuntimeError(
                "no transaction of the database is open here: take the UnitOfWork as a parameter of the handler, which "
                "opens one before it is called, or `await unit_of_work.open()`"
            )
        return self._connection

    async def open(self) -> None:
        """Begin the database's transaction; again is nothing. What was loaded before was loaded outside of it."""
        if self._connection is None:
            begun = self._database.transaction()
            self._connection = await begun.__aenter__()
            self._begun = begun

    def unit_of_work(self, metadata: Metadata) -> UnitOfWork:
        """A unit for the message that *metadata* describes."""
        unit = UnitOfWork(self, metadata)
        self._units.append(unit)
        return unit

    def now(self) -> datetime:
        """The time of what is recorded now."""
        return self._clock.now()

    async def load(self, stream: str, *, after_version: int = 0) -> list[StoredEvent]:
        """The stream's events behind *after_version*, with those of completed units."""
        if self._connection is not None:
            stored = await self._event_store.load(self._connection, stream, after_version=after_version)
        elif self._group_load is not None:
            stored = await self._group_load.load(stream, after_version)
        else:
            async with self._database.reading() as connection:
                stored = await self._event_store.load(connection, stream, after_version=after_version)
        return stored + self._pending.after(stream, stored[-1].version if stored else after_version)

    async def find_snapshot(self, stream: str, snapshot_version: int) -> Snapshot | None:
        """The stream's snapshot of that shape, in the database or about to be."""
        pending = self._pending.snapshots.get(stream)
        if pending is not None and pending.snapshot_version == snapshot_version:
            return pending
        if self._connection is not None:
            return await Snapshots().find(self._connection, stream, snapshot_version)
        return await self._database.read(reading_of_snapshot(stream, snapshot_version))

    async def find_command(self, command_id: str) -> str | None:
        """The receipt (JSON) of a command that was handled under this id, here or before; None: none was."""
        receipt = self._pending.commands.get(command_id)
        if receipt is not None:
            return receipt
        if self._connection is not None:
            return await CommandInbox().find(self._connection, command_id)
        return await self._database.read(CommandInbox.finding(command_id))

    def remember_command(self, command_id: str, receipt: str) -> None:
        """
        Record the receipt (JSON) with the rest. When somebody else was first, this transaction ends with
        CommandRepeated, which has the first receipt.
        """
        self._pending.commands[command_id] = receipt

    def take(self, pending: Pending) -> None:
        """Keep all that a unit has completed with. Raises ConcurrencyConflict when another was first at a stream."""
        if self._pending:
            self._pending.join(pending)
        else:
            self._pending = pending

    async def flush(self) -> None:
        """
        Write everything that units have completed with, with one statement a table. Raises ConcurrencyConflict and
        CommandRepeated; the transaction is then to be rolled back, as what the units did beside it belongs to it.
        """
        await self.open()
        pending, self._pending = self._pending, Pending()
        # In the order of group commit, which takes the same locks.
        for command_id, receipt in sorted(pending.commands.items()):
            first = await CommandInbox().record(self.connection, command_id, receipt)
            if first is not None:
                raise CommandRepeated(command_id, first)
        appended = await self._event_store.append(self.connection, list(pending.appends()))
        await Snapshots().put(self.connection, [snapshot for _, snapshot in sorted(pending.snapshots.items())])
        rows = pending.rows_after(appended)
        await self._outbox.add(self.connection, rows)
        self.announces = self.announces or bool(rows)

    async def finish(self) -> None:
        """The block has ended well: flush, or, where the database has no transaction for it yet, commit in a group."""
        if self._connection is None:
            if not self._pending:
                return
            write = self._pending.write()
            if write is not None and self._group_commit is not None:
                await self._group_commit.commit(write)
                self.announces = bool(write.outbox)
                return
        await self.flush()

    async def end(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Commit what the database has begun, or roll it back for *error*; sessions end before it."""
        for unit in self._units:
            await unit.close()
        if self._begun is not None:
            await self._begun.__aexit__(kind, error, traceback)


# The first version that an append gets, where that is known before it is written.
_FIRST: Final = {Expect.NONE: 1}


def _outbox_row(
    envelope: Envelope, data: bytes, topic: str, key: str | None, category: str, aggregate_id: str
) -> OutboxRow:
    return OutboxRow(
        id=envelope.id,
        aggregatetype=category,
        aggregateid=aggregate_id,
        type=envelope.type,
        payload=data,
        topic=topic,
        key=key,
        headers=envelope.header_texts(),
        slot=slot_of(None if key is None else key.encode()),
        stream_version=envelope.stream_version,
        created_at=envelope.time,
    )
