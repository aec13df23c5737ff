"""
What a relay promises over a database and a log: what was committed is published, in order per key.

Give `database` and, for another log than one in memory, `transport`.
"""

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import anyio
import pytest

from eventbus.database import BlockedRows, Database, Outbox, OutboxRow, SlotLeases
from eventbus.delivery import Relay
from eventbus.testing.contracts.transactional_producer import committed
from eventbus.testing.contracts.transport import topic_name
from eventbus.transport import IncomingRecord, Transport
from eventbus.transport.memory import MemoryLog, MemoryTransport
from eventbus.transport.partitioning import SLOTS, slot_of


def row(topic: str, number: int, *, key: str | None = "k") -> OutboxRow:
    """A row to be published, in the slot of its key."""
    return OutboxRow(
        id=str(uuid.uuid4()),
        aggregatetype="Order",
        aggregateid=key or "",
        type="Paid",
        payload=b"%d" % number,
        topic=topic,
        key=key,
        headers=(("ce_type", "Paid"), ("ce_id", str(number))),
        slot=slot_of(None if key is None else key.encode()),
        stream_version=number + 1,
        created_at=datetime.now(UTC),
    )


async def add(database: Database, rows: Sequence[OutboxRow]) -> None:
    async with database.transaction() as connection:
        await Outbox().add(connection, rows)


@asynccontextmanager
async def relaying(relay: Relay) -> AsyncGenerator[None]:
    """The relay runs while the block does."""
    async with anyio.create_task_group() as tasks:
        await tasks.start(relay.run)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await relay.stop()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(30):
        while not await condition():
            await anyio.sleep(0.02)


async def rows_are(database: Database, count: int) -> bool:
    """Whether so many rows wait in the outbox."""
    async with database.reading() as connection:
        return (await Outbox().status(connection)).rows == count


def numbers_of(records: Sequence[IncomingRecord], key: str) -> list[int]:
    return [int(record.value or b"-1") for record in records if record.key == key.encode()]


class RelayContract:
    """Tests for a database and a log: give `database`, and `transport` for another log than one in memory."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def transport(self) -> Transport:
        return MemoryTransport(MemoryLog())

    @pytest.fixture
    async def topic(self, transport: Transport) -> str:
        """A topic with three partitions."""
        name = topic_name()
        await transport.ensure_topics({name: 3})
        return name

    @pytest.fixture
    def relay(self, database: Database, transport: Transport) -> Callable[[str], Relay]:
        """Makes relays of one service, each under the name that it is given."""
        service = f"shop-{uuid.uuid4().hex[:8]}"
        return lambda holder: Relay(
            database, Outbox(), SlotLeases(), transport, holder, service=service, lease_seconds=1.0
        )

    async def test_rows_go_to_the_log_in_order_and_leave_their_positions(
        self, database: Database, transport: Transport, topic: str, relay: Callable[[str], Relay]
    ) -> None:
        """Each key's order holds, headers are as they were, and receipts can be exchanged for positions."""
        rows = [row(topic, number, key=f"o-{number % 7}") for number in range(700)]
        async with relaying(relay("one")):
            for start in range(0, 700, 50):
                await add(database, rows[start : start + 50])
            await until(lambda: rows_are(database, 0))
        records = await committed(transport, topic, 700)
        assert len(records) == 700
        for key in range(7):
            assert numbers_of(records, f"o-{key}") == list(range(key, 700, 7))
        places = {int(record.value or b"-1"): (record.partition, record.offset) for record in records}
        async with database.reading() as connection:
            positions = await Outbox().positions(connection, [given.id for given in rows[:10]])
        for number, given in enumerate(rows[:10]):
            assert (positions[given.id].partition, positions[given.id].offset) == places[number]
        assert dict(records[0].headers)["ce_type"] == b"Paid"

    async def test_what_was_rolled_back_is_not_published(
        self, database: Database, transport: Transport, topic: str, relay: Callable[[str], Relay]
    ) -> None:
        """The outbox is a part of its writer's transaction."""
        async with relaying(relay("one")):
            with pytest.raises(RuntimeError, match="no"):
                async with database.transaction() as connection:
                    await Outbox().add(connection, [row(topic, 0)])
                    raise RuntimeError("no")
            await add(database, [row(topic, 1)])
            await until(lambda: rows_are(database, 0))
        assert numbers_of(await committed(transport, topic, 1), "k") == [1]

    async def test_relays_share_the_slots_and_the_others_take_over_what_one_leaves(
        self, database: Database, transport: Transport, topic: str, relay: Callable[[str], Relay]
    ) -> None:
        """With order per key and without repeats, from writers that go on all the while."""
        one, two = relay("one"), relay("two")
        keys = [f"o-{number}" for number in range(8)]

        async def write() -> None:
            for number in range(60):
                await add(database, [row(topic, number, key=key) for key in keys])
                await anyio.sleep(0.01)

        async def shared() -> bool:
            return len(one.status().slots) == len(two.status().slots) == SLOTS // 2

        async def two_has_all() -> bool:
            return two.status().slots == tuple(range(SLOTS))

        async with relaying(two):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(write)
                async with relaying(one):
                    await until(shared)
                await until(two_has_all)
            await until(lambda: rows_are(database, 0))
        records = await committed(transport, topic, 60 * len(keys))
        assert {key: numbers_of(records, key) for key in keys} == {key: list(range(60)) for key in keys}

    async def test_a_row_that_the_log_refuses_blocks_its_key_only(
        self, database: Database, transport: Transport, topic: str, relay: Callable[[str], Relay]
    ) -> None:
        """Its topic does not exist: it is visible with the reason, and goes when the topic has been made."""
        missing = topic_name()
        async with relaying(relay("one")):
            await add(database, [row(missing, 0), row(missing, 1), *(row(topic, number) for number in range(10))])
            await until(lambda: rows_are(database, 2))
            assert numbers_of(await committed(transport, topic, 10), "k") == list(range(10))

            async def is_visible() -> bool:
                async with database.reading() as connection:
                    return [(one.blocked.topic, one.rows) for one in await BlockedRows().list(connection)] == [
                        (missing, 2)
                    ]

            await until(is_visible)
            await transport.ensure_topics({missing: 1})
            async with database.transaction() as connection:
                (found,) = await BlockedRows().list(connection)
                await BlockedRows().retry(connection, [found.blocked.sequence], datetime.now(UTC))
            await until(lambda: rows_are(database, 0))
        assert numbers_of(await committed(transport, missing, 2), "k") == [0, 1]
