import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from eventbus.database import Database, Outbox, OutboxRow, SlotLeases
from eventbus.delivery import Relay
from eventbus.messages import Metadata
from eventbus.store import Transactions
from eventbus.testing.contracts.transactional_producer import committed
from eventbus.transport import IncomingRecord, KafkaTransport
from eventbus.transport.partitioning import SLOTS, slot_of
from tests.eventbus.delivery.service import Paid
from tests.servers.logs import Log

pytestmark = pytest.mark.anyio
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""For what does not depend on the database."""


def row(topic: str, number: int, *, key: str | None = "k", payload: bytes | None = None) -> OutboxRow:
    return OutboxRow(
        id=str(uuid.uuid4()),
        aggregatetype="Order",
        aggregateid=key or "",
        type="Paid",
        payload=b"%d" % number if payload is None else payload,
        topic=topic,
        key=key,
        headers=(("ce_type", "Paid"), ("ce_id", str(number))),
        slot=0,
        stream_version=number,
        created_at=datetime.now(UTC),
    )


async def add(database: Database, rows: Sequence[OutboxRow]) -> None:
    async with database.transaction() as connection:
        await Outbox().add(connection, rows)


async def waiting(database: Database) -> int:
    async with database.reading() as connection:
        return (await Outbox().status(connection)).rows


def relay(
    database: Database, transport: KafkaTransport, holder: str = "one", *, slots: int = 1, **options: float
) -> Relay:
    # The log is the module's: a service of another test must not take over what is this one's.
    service = f"shop-{Path(database.name).parent.name}-{Path(database.name).name}"
    return Relay(database, Outbox(), SlotLeases(), transport, holder, service=service, slots=slots, **options)


@asynccontextmanager
async def relaying(subject: Relay) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        await tasks.start(subject.run)
        yield
        await subject.stop()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    with anyio.fail_after(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


async def is_empty(database: Database) -> bool:
    return await waiting(database) == 0


def numbers_of(records: Sequence[IncomingRecord], key: str) -> list[int]:
    return [int(record.value or b"") for record in records if record.key == key.encode()]


async def test_rows_go_to_the_log_in_order_and_leave_their_positions(
    transport: KafkaTransport, topic: str, database: Database
) -> None:
    """Each key's order holds, headers and values are as they were, and receipts can be exchanged for positions."""
    rows = [row(topic, number, key=f"o-{number % 7}") for number in range(3000)]
    subject = relay(database, transport)
    async with relaying(subject):
        for start in range(0, 3000, 100):
            await add(database, rows[start : start + 100])
        await until(lambda: is_empty(database))
        assert subject.status().published == 3000
    records = await committed(transport, topic, 3000)
    for key in range(7):
        assert numbers_of(records, f"o-{key}") == list(range(key, 3000, 7))
    by_number = {int(record.value or b""): record for record in records}
    async with database.reading() as connection:
        positions = await Outbox().positions(connection, [row.id for row in rows[:10]])
    for number in range(10):
        position = positions[rows[number].id]
        assert (position.partition, position.offset) == (by_number[number].partition, by_number[number].offset)
    assert list(by_number[0].headers) == [("ce_type", b"Paid"), ("ce_id", b"0")]


@on_sqlite
async def test_a_commit_wakes_the_relay(transport: KafkaTransport, topic: str, database: Database) -> None:
    """With a poll of ten seconds, what this process commits is in the log at once."""
    transactions = Transactions(database, "shop")
    subject = relay(database, transport, slots=SLOTS, poll_seconds=10.0)
    transactions.when_committed(subject.wake)
    async with relaying(subject):
        await asyncio.sleep(0.5)
        began = time.monotonic()
        async with transactions.begin() as transaction:
            metadata = Metadata(id="c-1", type="Pay", version=1, source="shop", time=datetime.now(UTC))
            unit = transaction.unit_of_work(metadata)
            unit.publish(Paid(number=1), topic=topic, key="o-1")
            await unit.complete()
        await until(lambda: is_empty(database))
        assert time.monotonic() - began < 8.0
    (record,) = await committed(transport, topic, 1)
    assert dict(record.headers)["ce_causationid"] == b"c-1"


@on_sqlite
async def test_a_commit_has_only_the_slot_of_its_key_read(
    transport: KafkaTransport, topic: str, database: Database
) -> None:
    """The others stay idle, whatever the number of slots."""
    claimed: list[int] = []

    class Counted(Outbox):
        async def claim(self, database: Database, slot: int, limit: int) -> list[OutboxRow]:
            rows = await super().claim(database, slot, limit)
            claimed.append(slot)
            return rows

    subject = Relay(
        database, Counted(), SlotLeases(), transport, "one", service=topic, lease_seconds=60.0, poll_seconds=60.0
    )
    async with relaying(subject):
        await until(lambda: _all_have_looked(subject, claimed))
        await asyncio.sleep(0.2)  # the last one's round has ended, too
        claimed.clear()
        only = replace(row(topic, 1, key="o-1"), slot=slot_of(b"o-1"))
        await add(database, [only])
        subject.wake()
        await until(lambda: is_empty(database))
        assert set(claimed) == {only.slot}
    await committed(transport, topic, 1)


async def _all_have_looked(subject: Relay, claimed: Sequence[int]) -> bool:
    """Each slot is held, and has looked for rows once."""
    return set(claimed) == set(range(SLOTS)) == set(subject.status().slots)


@on_sqlite
async def test_a_row_that_the_log_refuses_blocks_its_key_only(
    transport: KafkaTransport, topic: str, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Later rows of the key wait, all others go on; mended, the key goes on in order."""
    huge = row(topic, 1, key="a", payload=b"x" * 3_000_000)
    later = [row(topic, 2, key="a"), row(topic, 3, key="a")]
    others = [row(topic, number, key="b") for number in range(50)]
    subject = relay(database, transport)
    with caplog.at_level(logging.ERROR, "eventbus.delivery"):
        async with relaying(subject):
            await add(database, [row(topic, 0, key="a"), huge, *later, *others])

            async def only_the_key_waits() -> bool:
                return await waiting(database) == 3

            await until(only_the_key_waits)
            await add(database, [row(topic, 50, key="b"), row(topic, 51, key=None)])
            await until(only_the_key_waits)
            (blocked,) = subject.status().blocked
            assert (blocked.topic, blocked.key, blocked.event_id, blocked.rows) == (topic, "a", huge.id, 3)
            assert "too large" in blocked.reason
            records = await committed(transport, topic, 53)
            assert numbers_of(records, "a") == [0]
            assert numbers_of(records, "b") == list(range(51))
            # The operator takes the row out.
            async with database.transaction() as connection:
                await connection.exec_driver_sql("DELETE FROM eventbus_outbox WHERE length(payload) > 1000000")
            await until(lambda: is_empty(database))
            assert subject.status().blocked == ()
    assert numbers_of(await committed(transport, topic, 55), "a") == [0, 2, 3]
    assert len(caplog.records) == 1


@on_sqlite
async def test_a_topic_that_is_not_there_is_not_made_by_the_way(
    transport: KafkaTransport, topic: str, database: Database
) -> None:
    """It would have the broker's defaults; its rows wait, and go when the topic has been made."""
    missing = f"{topic}-missing"
    subject = relay(database, transport)
    async with relaying(subject):
        await add(database, [row(missing, 1), row(topic, 1)])

        async def is_blocked() -> bool:
            return bool(subject.status().blocked)

        await until(is_blocked)
        assert missing not in (await transport.describe([missing])).topics
        await transport.ensure_topics({missing: 5})
        await until(lambda: is_empty(database))
    assert len((await transport.describe([missing])).topics[missing].partitions) == 5


@on_sqlite
async def test_a_second_relay_takes_over_when_the_lease_has_run_out(
    transport: KafkaTransport, topic: str, database: Database
) -> None:
    """A holder that was killed keeps the others waiting for the rest of its lease, and no longer."""
    async with database.transaction() as connection:
        assert await SlotLeases().acquire(connection, 0, "killed", 1.5)
    await add(database, [row(topic, 1)])
    began = time.monotonic()
    async with relaying(relay(database, transport, "second", lease_seconds=1.0)):
        await until(lambda: is_empty(database))
    assert 1.0 < time.monotonic() - began < 20.0


async def test_a_relay_that_starts_again_under_its_name_takes_over_at_once(
    transport: KafkaTransport, topic: str, database: Database
) -> None:
    """Its own lease, from before it was killed, is no hindrance."""
    async with database.transaction() as connection:
        assert await SlotLeases().acquire(connection, 0, "one", 60.0)
    await add(database, [row(topic, 1)])
    began = time.monotonic()
    async with relaying(relay(database, transport, "one")):
        await until(lambda: is_empty(database))
    assert time.monotonic() - began < 20.0


@on_sqlite
async def test_a_clean_stop_hands_the_slot_over_at_once(
    transport: KafkaTransport, topic: str, database: Database
) -> None:
    """The lease is released; the other relay, which was waiting, goes on."""
    first, second = relay(database, transport, "one"), relay(database, transport, "two", lease_seconds=2.0)
    async with relaying(first):
        await until(lambda: holds(first))
    async with relaying(second):
        await add(database, [row(topic, 1)])
        began = time.monotonic()
        await until(lambda: is_empty(database))
        assert time.monotonic() - began < 8.0
        assert second.status().slots == (0,)


async def holds(subject: Relay) -> bool:
    return subject.status().slots == (0,)


async def test_a_relay_that_lost_its_slot_deletes_nothing_and_stops_publishing(
    transport: KafkaTransport, topic: str, database: Database
) -> None:
    """After a takeover behind its back the old holder lets go, and waits for the slot again."""
    subject = relay(database, transport, "one", lease_seconds=0.9)
    async with relaying(subject):
        await until(lambda: holds(subject))
        async with database.transaction() as connection:
            # As if this relay had been frozen for longer than its lease.
            await connection.exec_driver_sql(
                "UPDATE eventbus_relay_slots SET holder = 'two', lease_epoch = lease_epoch + 1"
            )
        await add(database, [row(topic, 1)])

        async def has_noticed() -> bool:
            return subject.status().slots == ()

        await until(has_noticed)
        # The other one never publishes: its lease ends, and the row is there for whoever comes next.
        await until(lambda: is_empty(database))
    assert set(numbers_of(await committed(transport, topic, 1), "k")) == {1}


@on_sqlite
@pytest.mark.kills_the_log
async def test_rows_wait_for_an_absent_broker(
    log: Log, transport: KafkaTransport, topic: str, database: Database
) -> None:
    """What is committed while it is away is in the log, once and in order, soon after it is back."""
    subject = relay(database, transport, lease_seconds=1.0)
    async with relaying(subject):
        await add(database, [row(topic, number) for number in range(100)])
        await until(lambda: is_empty(database))
        log.kill()
        await add(database, [row(topic, number) for number in range(100, 200)])

        async def says_so() -> bool:
            return bool(subject.status().waiting_for)

        await until(says_so)
        assert await waiting(database) == 100
        await add(database, [row(topic, number) for number in range(200, 300)])
        log.start()
        await until(lambda: is_empty(database))
    assert numbers_of(await committed(transport, topic, 300), "k") == list(range(300))


@on_sqlite
@pytest.mark.kills_the_log
async def test_stopping_without_a_broker_ends_in_time_and_keeps_the_rows(
    log: Log, transport: KafkaTransport, topic: str, database: Database
) -> None:
    """The batch that nobody answers is given up."""
    subject = relay(database, transport, shutdown_seconds=0.5)
    async with relaying(subject):
        await until(lambda: holds(subject))
        log.kill()
        await add(database, [row(topic, 1)])
        await asyncio.sleep(0.5)
        began = time.monotonic()
        await subject.stop()
        assert time.monotonic() - began < 20.0
    assert await waiting(database) == 1
    log.start()
