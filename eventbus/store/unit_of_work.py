"""
What a handler may ask for: one message's part of a transaction.

Events that a unit appends, and what it publishes, are kept in memory until the end, and then written together with the
rest of the transaction, however many there are. A unit whose handler fails is dropped with what it kept.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from eventbus.messages import Event, Metadata
from eventbus.observability import current_traceparent
from eventbus.serialization import encode
from eventbus.store.event_rows import NewRow
from eventbus.store.identifiers import new_event_id
from eventbus.store.pending import Pending
from eventbus.store.snapshots import Snapshot
from eventbus.store.streams import Expect, ExpectedVersion, History, StoredEvent

if TYPE_CHECKING:
    from eventbus.store.transaction import Transaction

# The first version that an append gets, where that is known before it is written.
_FIRST: Final = {Expect.NONE: 1}


class Cause(Protocol):
    """What events need to know of the message that leads to them; its metadata is dearer, and made when asked for."""

    @property
    def id(self) -> str: ...

    @property
    def correlation_id(self) -> str | None: ...

    @property
    def traceparent(self) -> str | None: ...

    @property
    def metadata(self) -> Metadata: ...


class UnitOfWork:
    """
    One message's part of a transaction. For a service's own tables there are `connection` and `session`: what they do
    is committed with the message's events, or rolled back with them. Committing is the framework's.
    """

    __slots__ = ("_callbacks", "_cause", "_completed", "_pending", "_session", "event_ids", "transaction")

    def __init__(self, transaction: "Transaction", cause: Metadata | Cause) -> None:
        self.transaction = transaction
        self.event_ids: list[str] = []
        self._cause = cause
        self._pending = Pending()
        self._callbacks: list[Callable[[], None]] = []
        self._session: AsyncSession | None = None
        self._completed = False

    @property
    def metadata(self) -> Metadata:
        """What is known about the message."""
        return self._cause if isinstance(self._cause, Metadata) else self._cause.metadata

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

    async def history(self, stream: str, *, after_version: int = 0) -> History:
        """The same events, as much of each as a state is made of again."""
        stored = await self.transaction.history(stream, after_version=after_version)
        pending = self._pending.after(stream, after_version + len(stored))
        return [*stored, *(event.history_row for event in pending)] if pending else stored

    async def load_snapshot(self, stream: str, snapshot_version: int) -> tuple[Snapshot | None, History]:
        """The stream's snapshot of that shape, where there is one, and the events behind it."""
        snapshot = await self.transaction.find_snapshot(stream, snapshot_version)
        return snapshot, await self.history(stream, after_version=0 if snapshot is None else snapshot.stream_version)

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
        if isinstance(expected_version, int):
            version: int | None = expected_version + 1
        else:
            version = _FIRST.get(expected_version)
        cause, transaction = self._cause, self.transaction
        source, now = transaction.source, transaction.now()
        correlation_id = cause.correlation_id or cause.id
        trace = current_traceparent() or cause.traceparent
        rows: list[NewRow] = []
        for at, event in enumerate(events):
            id = new_event_id() if ids is None else ids[at]
            rows.append(
                (
                    id,
                    event.message_name,
                    event.message_version,
                    source,
                    now,
                    key,
                    stream,
                    None if version is None else version + at,
                    correlation_id,
                    cause.id,
                    trace,
                    encode(event),
                    category,
                    topic,
                )
            )
        pending = self._pending
        pending.append(stream, expected_version, rows, category, topic)
        if ids is not None:
            pending.has_given_ids = True
        self.event_ids += [row[0] for row in rows]
        if topic is not None:
            pending.rows += rows

    def put_snapshot(self, stream: str, stream_version: int, snapshot_version: int, state: bytes) -> None:
        """Keep *state*, which has the stream's events up to *stream_version* in it."""
        self._refuse_when_completed()
        self._pending.snapshots[stream] = Snapshot(
            stream, stream_version, snapshot_version, state, self.transaction.now()
        )

    def publish(self, event: Event, *, topic: str, key: str | None) -> str:
        """Publish an event that belongs to no stream of this service; its id."""
        self._refuse_when_completed()
        cause, transaction, id = self._cause, self.transaction, new_event_id()
        self._pending.rows.append(
            (
                id,
                event.message_name,
                event.message_version,
                transaction.source,
                transaction.now(),
                key,
                None,
                None,
                cause.correlation_id or cause.id,
                cause.id,
                current_traceparent() or cause.traceparent,
                encode(event),
                topic,
                topic,
            )
        )
        self.event_ids.append(id)
        return id

    def before_complete(self, callback: Callable[[], None]) -> None:
        """Have *callback* called when the handler has returned: the last chance to append or publish."""
        self._callbacks.append(callback)

    async def complete(self) -> None:
        """The handler has returned: call the callbacks, flush the session, give what was kept to the transaction."""
        self._refuse_when_completed()
        # They refer to this unit as it does to them: let go of, so that no command waits for the garbage collector.
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()
        self._completed = True
        if self._session is not None:
            await self._session.flush()
        pending, self._pending = self._pending, Pending()
        self.transaction.take(pending)

    async def close(self) -> None:
        """Let go of the session; what was not completed is dropped."""
        self._completed = True
        self._callbacks = []
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _refuse_when_completed(self) -> None:
        if self._completed:
            raise RuntimeError(
                f"the unit of work of {self.metadata.type} {self.metadata.id} is over: "
                "append and publish before the handler returns"
            )
