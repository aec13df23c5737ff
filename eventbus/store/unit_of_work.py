"""
The transaction of a message's effects: what a handler may ask for, and what the framework writes when it has returned.

A `Transaction` is one transaction of the database, for one message or for a batch of them. Each message has a
`UnitOfWork` in it. Events that a unit appends, and what it publishes, are kept in memory until `Transaction.flush`,
which writes all of them with two statements, however many there are. A unit whose handler fails is dropped with what
it kept.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from eventbus.clock import Clock, SystemClock
from eventbus.database import Database, Outbox, OutboxRow
from eventbus.errors import ConcurrencyConflict
from eventbus.messages import Envelope, Event, Metadata
from eventbus.observability import current_traceparent
from eventbus.serialization import encode
from eventbus.store.event_store import EventStore
from eventbus.store.identifiers import new_event_id
from eventbus.store.streams import Append, StoredEvent
from eventbus.transport.partitioning import slot_of


@dataclass(slots=True)
class _Pending:
    """What is to be appended to one stream."""

    expected_version: int
    category: str
    topic: str | None
    events: list[StoredEvent] = field(default_factory=list)

    @property
    def version(self) -> int:
        return self.expected_version + len(self.events)


class _Buffer:
    """Appends and outbox rows that have not reached the database."""

    __slots__ = ("rows", "streams")

    def __init__(self) -> None:
        self.streams: dict[str, _Pending] = {}
        self.rows: list[OutboxRow] = []

    def append(
        self, stream: str, expected_version: int, events: Sequence[StoredEvent], category: str, topic: str | None
    ) -> None:
        self.expect(stream, expected_version)
        self.streams.setdefault(stream, _Pending(expected_version, category, topic)).events.extend(events)

    def expect(self, stream: str, expected_version: int) -> None:
        """Raises ConcurrencyConflict when the stream is buffered and at another version."""
        pending = self.streams.get(stream)
        if pending is not None and pending.version != expected_version:
            raise ConcurrencyConflict(stream, expected_version, pending.version)

    def after(self, stream: str, version: int) -> list[StoredEvent]:
        """The buffered events of the stream behind *version*."""
        pending = self.streams.get(stream)
        return [] if pending is None else pending.events[max(0, version - pending.expected_version) :]


class UnitOfWork:
    """
    One message's part of a transaction. For a service's own tables there are `connection` and `session`: what they do
    is committed with the message's events, or rolled back with them. Committing is the framework's.
    """

    def __init__(self, transaction: "Transaction", metadata: Metadata) -> None:
        self.transaction = transaction
        self.metadata = metadata
        self.event_ids: list[str] = []
        self._buffer = _Buffer()
        self._callbacks: list[Callable[[], None]] = []
        self._session: AsyncSession | None = None
        self._completed = False

    @property
    def connection(self) -> AsyncConnection:
        """The transaction's connection, for SQLAlchemy Core."""
        return self.transaction.connection

    @property
    def session(self) -> AsyncSession:
        """An ORM session on that connection, flushed when the handler has returned."""
        if self._session is None:
            self._session = AsyncSession(
                bind=self.connection, expire_on_commit=False, join_transaction_mode="rollback_only"
            )
        return self._session

    async def load(self, stream: str, *, after_version: int = 0) -> list[StoredEvent]:
        """The stream's events behind *after_version*, those among them that this transaction has yet to write."""
        stored = await self.transaction.load(stream, after_version=after_version)
        return stored + self._buffer.after(stream, stored[-1].version if stored else after_version)

    def append(
        self,
        stream: str,
        expected_version: int,
        events: Sequence[Event],
        *,
        topic: str | None,
        key: str,
        category: str,
    ) -> None:
        """
        Append to the stream when it is at *expected_version*, and publish to *topic* (None: not at all) under *key*.

        Raises ConcurrencyConflict: now, when this unit has appended something else to the stream; otherwise when the
        transaction is flushed.
        """
        self._refuse_when_completed()
        stored: list[StoredEvent] = []
        for stream_version, event in enumerate(events, start=expected_version + 1):
            envelope = self._envelope(event, subject=key, stream=stream, stream_version=stream_version)
            stored.append(StoredEvent(envelope, encode(event)))
        self._buffer.append(stream, expected_version, stored, category, topic)
        self.event_ids.extend(event.envelope.id for event in stored)
        if topic is not None:
            self._buffer.rows.extend(
                _outbox_row(event.envelope, event.data, topic, key, category, key) for event in stored
            )

    def publish(self, event: Event, *, topic: str, key: str | None) -> str:
        """Publish an event that belongs to no stream of this service; its id."""
        self._refuse_when_completed()
        envelope = self._envelope(event, subject=key)
        self._buffer.rows.append(
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
        self.transaction.take(self._buffer)

    async def close(self) -> None:
        """Let go of the session; what was not completed is dropped."""
        self._completed = True
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _envelope(
        self, event: Event, *, subject: str | None, stream: str | None = None, stream_version: int | None = None
    ) -> Envelope:
        handled = self.metadata
        return Envelope(
            id=new_event_id(),
            type=event.message_name,
            version=event.message_version,
            source=self.transaction.source,
            time=self.transaction.now(),
            subject=subject,
            stream=stream,
            stream_version=stream_version,
            correlation_id=handled.correlation_id or handled.id,
            causation_id=handled.id,
            traceparent=current_traceparent() or handled.traceparent,
        )

    def _refuse_when_completed(self) -> None:
        if self._completed:
            raise RuntimeError(
                f"the unit of work of {self.metadata.type} {self.metadata.id} is over: "
                "append and publish before the handler returns"
            )


class Transaction:
    """One transaction of the database, with what the framework will write in it."""

    def __init__(
        self, connection: AsyncConnection, source: str, event_store: EventStore, outbox: Outbox, clock: Clock
    ) -> None:
        self.connection = connection
        self.source = source
        self.announces = False
        """Whether something for the log was flushed: the relay has work when this transaction has committed."""
        self._event_store = event_store
        self._outbox = outbox
        self._clock = clock
        self._buffer = _Buffer()
        self._units: list[UnitOfWork] = []

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
        stored = await self._event_store.load(self.connection, stream, after_version=after_version)
        return stored + self._buffer.after(stream, stored[-1].version if stored else after_version)

    def take(self, buffer: _Buffer) -> None:
        """Keep all that a unit has completed with. Raises ConcurrencyConflict when another was first at a stream."""
        for stream, pending in buffer.streams.items():
            self._buffer.expect(stream, pending.expected_version)
        for stream, pending in buffer.streams.items():
            self._buffer.append(stream, pending.expected_version, pending.events, pending.category, pending.topic)
        self._buffer.rows.extend(buffer.rows)

    async def flush(self) -> None:
        """
        Write everything that units have completed with: one statement for the events, one for the outbox. Raises
        ConcurrencyConflict; the transaction is then to be rolled back, as what the units did beside it belongs to it.
        """
        buffer, self._buffer = self._buffer, _Buffer()
        await self._event_store.append(
            self.connection,
            [
                Append(stream, pending.expected_version, pending.events, pending.category, pending.topic)
                for stream, pending in buffer.streams.items()
                if pending.events
            ],
        )
        await self._outbox.add(self.connection, buffer.rows)
        self.announces = self.announces or bool(buffer.rows)

    async def close(self) -> None:
        """Drop what was not flushed and let go of sessions."""
        self._buffer = _Buffer()
        for unit in self._units:
            await unit.close()


class Transactions:
    """
    Begins transactions.

    source        the service's name: `ce_source` of the events
    event_store   where appended events go
    outbox        where what is to be published goes
    """

    def __init__(
        self,
        database: Database,
        source: str,
        *,
        event_store: EventStore | None = None,
        outbox: Outbox | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._database = database
        self._source = source
        self._event_store = event_store or EventStore()
        self._outbox = outbox or Outbox()
        self._clock = clock or SystemClock()
        self._listeners: list[Callable[[], None]] = []

    def when_committed(self, listener: Callable[[], None]) -> None:
        """Have *listener* called after each commit that left something in the outbox: the relay wakes by it."""
        self._listeners.append(listener)

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[Transaction]:
        """
        A transaction, flushed and committed when the block ends, rolled back when it raises or is cancelled.

        Raises ConcurrencyConflict, DatabaseUnavailable; nothing was written then.
        """
        async with self._database.transaction() as connection:
            transaction = Transaction(connection, self._source, self._event_store, self._outbox, self._clock)
            try:
                yield transaction
                await transaction.flush()
            finally:
                await transaction.close()
        if transaction.announces:
            for listener in self._listeners:
                listener()


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
        headers=tuple((name, value.decode()) for name, value in envelope.headers()),
        slot=slot_of(None if key is None else key.encode()),
        stream_version=envelope.stream_version,
        created_at=envelope.time,
    )
