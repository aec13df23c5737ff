"""
Aggregates that keep snapshots.
"""

import logging
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from pydantic import BaseModel
from sqlalchemy import delete, text

from eventbus.database import Database
from eventbus.database.tables import events
from eventbus.domain import Aggregate, Repository, applies
from eventbus.errors import DefinitionError
from eventbus.messages import Event, Metadata
from eventbus.serialization import MessageTypes
from eventbus.store import Snapshot, Snapshots, Transactions

pytestmark = pytest.mark.anyio
METADATA = Metadata(id="m-1", type="Test", version=1, source="s", time=datetime(2026, 1, 1, tzinfo=UTC))


class Deposited(Event):
    amount: Decimal
    on: date


class Entry(BaseModel, frozen=True):
    amount: Decimal
    on: date


class Account(Aggregate, topic="accounts", snapshot=1, snapshot_every=3):
    balance: Decimal = Decimal(0)
    entries: tuple[Entry, ...] = ()
    days: frozenset[date] = frozenset()

    def deposit(self, amount: int) -> None:
        self.record(Deposited(amount=Decimal(amount), on=date(2026, 1, amount)))

    @applies(Deposited)
    def _deposited(self, event: Deposited) -> None:
        self.balance += event.amount
        self.entries = (*self.entries, Entry(amount=event.amount, on=event.on))
        self.days |= {event.on}


class ReshapedAccount(Aggregate, topic="accounts", name="Account", snapshot=2, snapshot_every=3):
    count: int = 0

    @applies(Deposited)
    def _deposited(self, event: Deposited) -> None:
        self.count += 1


class CarelessAccount(Aggregate, topic="accounts", name="Account", snapshot=1):
    count: int = 0

    @applies(Deposited)
    def _deposited(self, event: Deposited) -> None:
        self.count += 1


class Forgetful(Aggregate, topic="forgetful", snapshot=1, snapshot_every=1):
    def __init__(self, id: str) -> None:
        super().__init__(id)
        self.seen = ["a list"]

    @applies(Deposited)
    def _deposited(self, event: Deposited) -> None:
        self.seen.append("another")


TYPES = MessageTypes([Deposited])


@pytest.fixture
def transactions(database: Database) -> Transactions:
    return Transactions(database, "s")


async def deposit(transactions: Transactions, *amounts: int) -> None:
    """One command: all the amounts."""
    async with transactions.begin(lazily=True) as transaction:
        unit = transaction.unit_of_work(METADATA)
        account = await Repository(Account, unit, TYPES).load_or_new("a-1")
        for amount in amounts:
            account.deposit(amount)
        await unit.complete()


async def snapshot(database: Database) -> Snapshot | None:
    async with database.reading() as connection:
        return await Snapshots().find(connection, "Account-a-1", 1)


async def test_a_snapshot_is_kept_each_time_that_enough_events_have_come(
    database: Database, transactions: Transactions
) -> None:
    """Every third event here; one that comes in the middle of a command waits for its end."""
    versions: list[int | None] = []
    for amounts in ((1, 2), (3, 4), (5,), (6,), (7,)):
        await deposit(transactions, *amounts)
        found = await snapshot(database)
        versions.append(None if found is None else found.stream_version)
    assert versions == [None, 4, 4, 4, 7]


async def test_loading_begins_with_the_snapshot(database: Database, transactions: Transactions) -> None:
    """The state comes back as it was, by its annotations, and the events before it are not read."""
    await deposit(transactions, 1, 2, 3)
    await deposit(transactions, 4)
    async with database.transaction() as connection:
        await connection.execute(delete(events).where(events.c.version == 2))
    async with transactions.begin(lazily=True) as transaction:
        account = await Repository(Account, transaction.unit_of_work(METADATA), TYPES).load("a-1")
    assert account.stream_version == 4
    assert account.balance == Decimal(10)
    assert account.entries == tuple(Entry(amount=Decimal(n), on=date(2026, 1, n)) for n in range(1, 5))
    assert account.days == {date(2026, 1, n) for n in range(1, 5)}


async def test_a_higher_number_passes_older_snapshots_over(database: Database, transactions: Transactions) -> None:
    """The state has another shape: it is made of the events, and its snapshot takes the place of the old one."""
    await deposit(transactions, 1, 2, 3)
    async with transactions.begin(lazily=True) as transaction:
        unit = transaction.unit_of_work(METADATA)
        account = await Repository(ReshapedAccount, unit, TYPES).load("a-1")
        account.record(Deposited(amount=Decimal(1), on=date(2026, 1, 1)))
        await unit.complete()
        assert account.count == 4
    assert await snapshot(database) is None
    await deposit(transactions, 5, 6, 7)
    assert await snapshot(database) is None


async def test_a_snapshot_that_does_not_fit_is_said_and_passed_over(
    transactions: Transactions, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody changed the attributes and forgot the number: the events are the truth."""
    await deposit(transactions, 1, 2, 3)
    with caplog.at_level(logging.WARNING, "eventbus.domain"):
        async with transactions.begin(lazily=True) as transaction:
            account = await Repository(CarelessAccount, transaction.unit_of_work(METADATA), TYPES).load("a-1")
    assert (account.count, account.stream_version) == (3, 3)
    assert "Account-a-1: the snapshot at version 3 does not fit" in caplog.text


async def test_an_attribute_that_a_snapshot_would_lose_is_an_error(transactions: Transactions) -> None:
    """State without an annotation cannot be read back."""
    with pytest.raises(DefinitionError, match=r"Forgetful\.seen has no annotation"):
        async with transactions.begin(lazily=True) as transaction:
            unit = transaction.unit_of_work(METADATA)
            forgetful = await Repository(Forgetful, unit, TYPES).load_or_new("f-1")
            forgetful.record(Deposited(amount=Decimal(1), on=date(2026, 1, 1)))
            await unit.complete()


async def test_snapshots_may_be_deleted_at_any_time(database: Database, transactions: Transactions) -> None:
    """They are a cache."""
    await deposit(transactions, 1, 2, 3)
    async with database.transaction() as connection:
        await connection.execute(text("DELETE FROM eventbus_snapshots"))
    async with transactions.begin(lazily=True) as transaction:
        account = await Repository(Account, transaction.unit_of_work(METADATA), TYPES).load("a-1")
    assert (account.balance, account.stream_version) == (6, 3)


def test_a_version_of_snapshots_is_a_number_from_one_on() -> None:
    """Checked when the class is created."""
    with pytest.raises(DefinitionError, match="from 1 on"):

        class Wrong(Aggregate, topic="accounts", snapshot=0):
            pass
