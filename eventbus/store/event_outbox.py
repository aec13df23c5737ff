"""
The outbox for code that has its own SQLAlchemy transaction: the event is published when that commits, or not at all.

Handlers need none of this: `UnitOfWork.publish` and aggregates do it for them.
"""

from collections.abc import Awaitable
from typing import Final, overload

from sqlalchemy import Connection, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from eventbus.clock import Clock, SystemClock
from eventbus.database import OutboxRow
from eventbus.database.outbox import outbox_mapping
from eventbus.database.sqlite_driver import Connection as SqliteConnection
from eventbus.database.tables import outbox
from eventbus.messages import Envelope, Event
from eventbus.observability import current_traceparent
from eventbus.serialization import encode
from eventbus.store.identifiers import new_event_id
from eventbus.transport.partitioning import slot_of

# Where a session has several databases, that of the outbox.
_OUTBOX: Final = {"clause": outbox}


class EventOutbox:
    """
    Adds events to the outbox of the database that a session or connection of the caller's is on.

    source   the service's name, `ce_source` in the log
    """

    def __init__(self, source: str, *, clock: Clock | None = None) -> None:
        self._source = source
        self._clock = clock or SystemClock()

    @overload
    def add(self, session: Session | Connection, event: Event, *, topic: str, key: str | None) -> str: ...
    @overload
    def add(
        self, session: AsyncSession | AsyncConnection, event: Event, *, topic: str, key: str | None
    ) -> Awaitable[str]: ...
    def add(
        self,
        session: Session | Connection | AsyncSession | AsyncConnection,
        event: Event,
        *,
        topic: str,
        key: str | None,
    ) -> str | Awaitable[str]:
        """
        Add *event*, for *topic* under *key* (None: any partition, no order), to the transaction that is under way; the
        event's id. With an asynchronous session it is to be awaited.

        Raises RuntimeError outside of a transaction: nobody would commit it, or without its cause; in autocommit, where
        each statement is committed alone, too.
        """
        if not session.in_transaction():
            raise _outside(event)
        row = self._row(event, topic, key)
        if isinstance(session, AsyncSession | AsyncConnection):
            return self._add_async(session, event, row)
        connection = session if isinstance(session, Connection) else session.connection(bind_arguments=_OUTBOX)
        _refuse_autocommit(connection, event)
        connection.execute(insert(outbox), [outbox_mapping(row)])
        return row.id

    async def _add_async(self, session: AsyncSession | AsyncConnection, event: Event, row: OutboxRow) -> str:
        connection = (
            session if isinstance(session, AsyncConnection) else await session.connection(bind_arguments=_OUTBOX)
        )
        await connection.run_sync(_refuse_autocommit, event)
        await connection.execute(insert(outbox), [outbox_mapping(row)])
        return row.id

    def _row(self, event: Event, topic: str, key: str | None) -> OutboxRow:
        id, now = new_event_id(), self._clock.now()
        envelope = Envelope(
            id,
            event.message_name,
            event.message_version,
            self._source,
            now,
            key,
            None,
            None,
            id,
            None,
            current_traceparent(),
        )
        return OutboxRow(
            id=id,
            aggregatetype=topic,
            aggregateid=key or id,
            type=event.message_name,
            payload=encode(event),
            topic=topic,
            key=key,
            headers=tuple((name, value.decode()) for name, value in envelope.headers()),
            slot=slot_of(None if key is None else key.encode()),
            stream_version=None,
            created_at=now,
        )


def _refuse_autocommit(connection: Connection, event: Event) -> None:
    """SQLAlchemy speaks of a transaction there, but the database has none."""
    found = connection.connection.dbapi_connection
    if found is None or not connection.dialect.detect_autocommit_setting(found):
        return
    # To sqlite3, autocommit is also what has its BEGIN from somebody else: from whoever has said it by now, or from the
    # framework's own driver, which says it with the first statement.
    driver = connection.connection.driver_connection
    if not (isinstance(driver, SqliteConnection) or getattr(driver, "in_transaction", False)):
        raise _outside(event)


def _outside(event: Event) -> RuntimeError:
    return RuntimeError(
        f"outbox.add({event.message_name}) outside of a transaction: begin one first, `with session.begin():`, not in "
        "autocommit, and make the changes that the event announces in it"
    )
