from datetime import UTC, datetime

import pytest

from eventbus.database import Database, LogPartition, Outbox, OutboxRow
from eventbus.delivery.retry_delivery import RetryDelivery
from eventbus.delivery.retry_records import Retry, read_retry, retry_row
from eventbus.errors import CheckpointFenced
from eventbus.handlers import handles, retry_later
from eventbus.handlers.retry_later import Delay
from eventbus.messages import Metadata
from eventbus.serialization.types import MessageTypes
from eventbus.store import Transactions, UnitOfWork
from eventbus.transport.port import IncomingRecord
from tests.eventbus.delivery.service import (
    Paid,
    delivery,
    effects_in,
    invocations,
    letters_in,
    make_effects_table,
    place,
    record,
    take_effect,
)

pytestmark = pytest.mark.anyio

SOON = Delay("1ms", 0.001)
PLACE = LogPartition("cluster-1", "shop.retry.1ms", "topic-id-2", 0)


@pytest.fixture(autouse=True)
async def _effects_table(database: Database) -> None:
    await make_effects_table(database)


def as_read(row: OutboxRow, offset: int) -> IncomingRecord:
    """The row as the relay publishes it."""
    headers = [(name, value.encode()) for name, value in row.headers]
    key = None if row.key is None else row.key.encode()
    return IncomingRecord(row.topic, 0, offset, key, row.payload, headers, 1)


def delayed(number: int, *, tier: int = 0) -> Retry:
    return Retry(record(Paid(number=number), number), "payments.take", 5, tier, f"payment-service/e-{number}#take")


async def waiting_rows(database: Database) -> list[OutboxRow]:
    return [row for slot in range(4) for row in await Outbox().claim(database, slot, 100)]


@handles(Paid, attempts=1, on_failure=retry_later("1ms", "1h"))
async def take(event: Paid, work: UnitOfWork, metadata: Metadata) -> None:
    await take_effect(work, event.number)
    if event.number == 13 or metadata.attempt == 1:
        raise RuntimeError("not now")


def retrying(database: Database) -> RetryDelivery:
    found = invocations([take])
    return RetryDelivery("shop", SOON, found, MessageTypes(found), database, Transactions(database, "shop"))


async def test_an_event_that_fails_waits_in_the_outbox_and_the_next_ones_go_on(database: Database) -> None:
    """The offset moves in the transaction that writes the retry; nothing is parked, and nothing is a dead letter."""
    claim = await delivery(database, take).claim(place(), 0, 10)
    await delivery(database, take).apply(claim, [record(Paid(number=number), number) for number in range(2)], 2)
    assert claim.next_offset == 2
    assert await effects_in(database) == []
    rows = await waiting_rows(database)
    assert {row.topic for row in rows} == {"shop.retry.1ms"}
    assert sorted(read_retry(as_read(row, 0)).record.offset for row in rows) == [0, 1]
    assert await letters_in(database) == []


async def test_a_retry_that_was_published_twice_takes_effect_once(database: Database) -> None:
    """It is due, it is handled, and its repeat is dropped."""
    subject = retrying(database)
    claim = await subject.claim(PLACE, 0, 10)
    row = retry_row("shop", delayed(1), SOON, datetime.now(UTC))
    await subject.apply(claim, [as_read(row, 0), as_read(row, 1)], 2)
    assert await effects_in(database) == [1]
    assert claim.next_offset == 2


async def test_what_is_not_due_yet_waits_and_is_given_again(database: Database) -> None:
    """The batch ends without it, after a second at most, and the claim stays before it."""
    subject = retrying(database)
    claim = await subject.claim(PLACE, 0, 10)
    first = as_read(retry_row("shop", delayed(1), SOON, datetime.now(UTC)), 0)
    later = as_read(retry_row("shop", delayed(2), Delay("1ms", 3600.0), datetime.now(UTC)), 1)
    await subject.apply(claim, [first, later], 2)
    assert await effects_in(database) == [1]
    assert claim.next_offset == 1


async def test_a_retry_that_fails_goes_to_the_next_delay_and_then_to_the_dead_letters(database: Database) -> None:
    """The attempts are counted on."""
    subject = retrying(database)
    claim = await subject.claim(PLACE, 0, 10)
    await subject.apply(claim, [as_read(retry_row("shop", delayed(13), SOON, datetime.now(UTC)), 0)], 1)
    (row,) = await waiting_rows(database)
    retry = read_retry(as_read(row, 0))
    assert (row.topic, retry.tier, retry.attempts) == ("shop.retry.1h", 1, 6)
    await subject.apply(claim, [as_read(retry_row("shop", delayed(13, tier=1), SOON, datetime.now(UTC)), 1)], 2)
    (letter,) = await letters_in(database)
    assert (letter.consumer, letter.handler, letter.topic, letter.attempts) == ("shop", "payments.take", "payments", 6)
    assert claim.next_offset == 2


async def test_what_is_no_retry_is_a_dead_letter(database: Database) -> None:
    """Somebody else has written to the topic: it is kept raw, and what follows is handled."""
    subject = retrying(database)
    claim = await subject.claim(PLACE, 0, 10)
    stray = IncomingRecord(PLACE.topic, 0, 0, None, b"?", [], 0)
    await subject.apply(claim, [stray, as_read(retry_row("shop", delayed(1), SOON, datetime.now(UTC)), 1)], 2)
    assert await effects_in(database) == [1]
    (letter,) = await letters_in(database)
    assert (letter.consumer, letter.handler, letter.value) == ("shop.retry.1ms", None, b"?")


async def test_an_older_owner_of_a_delay_topic_is_fenced(database: Database) -> None:
    """Its effect is rolled back."""
    subject = retrying(database)
    old = await subject.claim(PLACE, 0, 10)
    await subject.claim(PLACE, 0, 10)
    with pytest.raises(CheckpointFenced):
        await subject.apply(old, [as_read(retry_row("shop", delayed(1), SOON, datetime.now(UTC)), 0)], 1)
    assert await effects_in(database) == []
