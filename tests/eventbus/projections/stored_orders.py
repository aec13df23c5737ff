"""
A service of its own: what it records is in the event store, in the outbox, and then, by a relay that the test plays,
in the log.
"""

from datetime import UTC, datetime
from uuid import uuid4

from sqlalchemy import delete, insert, select

from eventbus.database import Database
from eventbus.database.tables import outbox
from eventbus.domain import Aggregate, EventTopics, applies
from eventbus.messages import Envelope, Event
from eventbus.serialization.json import encode
from eventbus.store import Append, EventStore, Expect, StoredEvent
from eventbus.testing.contracts.given_log import OrdersLog
from eventbus.testing.contracts.orders import OrderForgotten, OrderPaid, OrderPlaced


class Order(Aggregate, topic="orders"):
    @applies(OrderPlaced)
    def _placed(self, event: OrderPlaced) -> None: ...

    @applies(OrderPaid)
    def _paid(self, event: OrderPaid) -> None: ...

    @applies(OrderForgotten)
    def _forgotten(self, event: OrderForgotten) -> None: ...


TOPICS = EventTopics([Order])


class StoredOrders:
    """Records events; `relay` brings them to the log, in the order in which they were recorded."""

    def __init__(self, database: Database, log: OrdersLog) -> None:
        self._database = database
        self._log = log
        self._versions: dict[str, int] = {}
        self._waiting: list[tuple[Event, str, int, str, int]] = []

    async def record(self, event: Event, stream: str, *, relayed: bool = True) -> str:
        """In one transaction, as a command's; answers the event's id."""
        version = self._versions[stream] = self._versions.get(stream, 0) + 1
        id, now = str(uuid4()), datetime.now(UTC)
        envelope = Envelope(
            id, type(event).message_name, 1, "shop", now, "subject", stream=stream, stream_version=version
        )
        append = Append(stream, Expect.ANY, [StoredEvent(envelope, encode(event))], "Order", "orders")
        async with self._database.transaction() as connection:
            await EventStore().append(connection, [append])
            await connection.execute(
                insert(outbox).values(
                    id=id,
                    aggregatetype="Order",
                    aggregateid=stream,
                    type=type(event).message_name,
                    payload=b"",
                    topic="orders",
                    headers="[]",
                    slot=0,
                    created_at=now,
                )
            )
        partition = sum(stream.encode()) % len(self._log.partitions)
        self._waiting.append((event, stream, version, id, partition))
        if relayed:
            await self.relay()
        return id

    async def relay(self) -> None:
        """Publishes what waits, a transaction's marker behind it, and deletes the rows."""
        waiting, self._waiting = self._waiting, []
        for event, stream, version, id, partition in waiting:
            self._log.append(event, partition, stream=stream, version=version, id=id)
            self._log.append_gap(partition)
        async with self._database.transaction() as connection:
            await connection.execute(delete(outbox).where(outbox.c.id.in_([one[3] for one in waiting])))

    async def waiting(self) -> int:
        """Rows of the outbox."""
        async with self._database.reading() as connection:
            return len((await connection.execute(select(outbox.c.id))).all())
