"""Several relays of one service: how they share the slots, and what fences one that slept."""

import asyncio
import logging
import time

import anyio.to_thread
import asyncpg
import pytest

from eventbus.database import BlockedRows, Database, Outbox, SlotLeases
from eventbus.testing.contracts.transactional_producer import committed
from eventbus.transport import KafkaTransport
from tests.eventbus.delivery.test_relay import add, is_empty, numbers_of, on_sqlite, relay, relaying, row, until
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.anyio


async def test_relays_share_the_slots_evenly(transport: KafkaTransport, database: Database) -> None:
    """Two have half of them each, and one has all when the other has gone."""
    first = relay(database, transport, "one", slots=4, lease_seconds=1.0)
    second = relay(database, transport, "two", slots=4, lease_seconds=1.0)

    async def shared() -> bool:
        return len(first.status().slots) == len(second.status().slots) == 2

    async def second_has_all() -> bool:
        return second.status().slots == (0, 1, 2, 3)

    async with relaying(second):
        async with relaying(first):
            await until(shared)
            assert set(first.status().slots) | set(second.status().slots) == {0, 1, 2, 3}
        await until(second_has_all)


@on_sqlite
async def test_the_slots_of_a_relay_that_was_killed_are_taken_with_the_look_after_its_leases(
    transport: KafkaTransport, database: Database
) -> None:
    """A tenth of a lease later at most: not when this relay announces itself again, and counts who is alive."""
    leases = SlotLeases()
    async with database.transaction() as connection:
        await leases.announce(connection, "killed", 1.0)
        for slot in range(4):
            assert await leases.acquire(connection, slot, "killed", 1.0)
    subject = relay(database, transport, "one", slots=4, lease_seconds=20.0)

    async def has_all() -> bool:
        return subject.status().slots == (0, 1, 2, 3)

    began = time.monotonic()
    async with relaying(subject):
        await until(has_all)
        # Looks are two seconds apart, announcements nearly seven.
        assert time.monotonic() - began < 6.0


@on_sqlite
async def test_rows_of_a_slot_that_is_no_more_are_published(
    transport: KafkaTransport, topic: str, database: Database
) -> None:
    """They were written when there were more slots."""
    made = row(topic, 1)
    await add(database, [type(made)(**{name: getattr(made, name) for name in made.__dataclass_fields__} | {"slot": 9})])
    async with relaying(relay(database, transport, slots=2)):
        await until(lambda: is_empty(database))
    assert numbers_of(await committed(transport, topic, 1), "k") == [1]


@on_sqlite
async def test_a_relay_whose_slot_was_taken_over_in_the_log_publishes_nothing(
    transport: KafkaTransport, topic: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Also while its own clock says that it holds the lease: the successor's producer has fenced its own."""
    subject = relay(database, transport, "one", lease_seconds=30.0, poll_seconds=30.0)

    async def holds() -> bool:
        return subject.status().slots == (0,)

    async with relaying(subject):
        await until(holds)
        await add(database, [row(topic, 1)])
        subject.wake()
        await until(lambda: is_empty(database))
        # As if it had been frozen: the lease has run out, and another has taken the slot and its id over.
        async with database.transaction() as connection:
            await connection.exec_driver_sql(
                "UPDATE eventbus_relay_slots SET holder = 'two', lease_epoch = lease_epoch + 1"
            )
        successor = transport.transactional_producer(subject._parts.transactional_id(0))
        await successor.take_over()
        await add(database, [row(topic, 2)])
        with caplog.at_level(logging.WARNING, "eventbus.delivery"):
            subject.wake()

            async def has_let_go() -> bool:
                return subject.status().slots == ()

            await until(has_let_go)
        await asyncio.sleep(0.1)
        assert numbers_of(await committed(transport, topic, 1), "k") == [1]
        assert any("taken over" in record.message for record in caplog.records)
        await successor.aclose()


@on_sqlite
async def test_a_blocked_row_is_seen_retried_and_discarded_from_another_process(
    transport: KafkaTransport, topic: str, database: Database
) -> None:
    """Through the database alone: what `eventbus outbox blocked`, `retry` and `discard` do."""
    huge = row(topic, 1, key="a", payload=b"x" * 3_000_000)
    subject = relay(database, transport)

    async def blocked() -> bool:
        async with database.reading() as connection:
            found = await BlockedRows().list(connection)
        return [(one.blocked.event_id, one.rows) for one in found] == [(huge.id, 2)]

    async def tried_again() -> bool:
        async with database.reading() as connection:
            (one,) = await BlockedRows().list(connection)
        return one.blocked.attempts > attempts and one.blocked.retry_requested_at is None

    async with relaying(subject):
        await add(database, [huge, row(topic, 2, key="a")])
        await until(blocked)
        async with database.transaction() as connection:
            (one,) = await BlockedRows().list(connection, [huge.id])
            attempts = one.blocked.attempts
            await BlockedRows().retry(connection, [one.blocked.sequence], one.blocked.blocked_at)
        await until(tried_again, 5)
        async with database.transaction() as connection:
            assert await BlockedRows().discard(connection, [one.blocked.sequence]) == 1
        await until(lambda: is_empty(database))
        async with database.reading() as connection:
            assert await BlockedRows().list(connection) == []
            assert [lease.slot for lease in await SlotLeases().list(connection)] == [0]
    assert numbers_of(await committed(transport, topic, 1), "a") == [2]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_open_transactions_of_others_stall_nothing(
    transport: KafkaTransport, topic: str, database: Database, database_url: str, postgres: PostgresServer
) -> None:
    """In another database of the same server, or in this one: what is committed is published, what is not waits."""
    elsewhere = await anyio.to_thread.run_sync(postgres.create_database)
    stranger = await asyncpg.connect(postgres.url(elsewhere))
    neighbour = await asyncpg.connect(database_url)
    try:
        # Each has written, so that each has a transaction id that stays the oldest while it is open.
        await stranger.execute("BEGIN; CREATE TABLE something (id int)")
        await neighbour.execute("BEGIN; CREATE TABLE something (id int)")
        async with database.transaction() as late:
            await Outbox().add(late, [row(topic, 1, key="late")])
            async with relaying(relay(database, transport)):
                await add(database, [row(topic, number) for number in range(100)])
                await until(lambda: is_empty(database), 5)
                assert numbers_of(await committed(transport, topic, 100), "k") == list(range(100))
        async with relaying(relay(database, transport)):
            # Its number is the lowest of all: a reader that remembers how far it has come would never see it.
            await until(lambda: is_empty(database), 5)
        assert numbers_of(await committed(transport, topic, 101), "late") == [1]
    finally:
        await stranger.close()
        await neighbour.close()
        await anyio.to_thread.run_sync(postgres.drop_database, elsewhere)
