from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from pydantic import JsonValue
from sqlalchemy import select

from eventbus.database import Database
from eventbus.database.tables import outbox
from eventbus.domain import Aggregate, Repository, applies
from eventbus.errors import ConcurrencyConflict, DefinitionError, StreamNotFound
from eventbus.messages import Event, Metadata
from eventbus.serialization import MessageTypes, Upcaster, Upcasters
from eventbus.store import Transaction, Transactions, UnitOfWork

pytestmark = pytest.mark.anyio
METADATA = Metadata(id="m-1", type="Test", version=1, source="s", time=datetime(2026, 1, 1, tzinfo=UTC))


class Counted(Event):
    by: int


class CountedInSteps(Event, name="Counted", version=2):
    steps: int


class Counter(Aggregate, topic="counters"):
    total: int = 0

    def count(self, by: int) -> None:
        self.record(Counted(by=by))

    @applies(Counted)
    def _counted(self, event: Counted) -> None:
        self.total += event.by


class StepCounter(Aggregate, topic="counters", name="Counter"):
    total: int = 0

    @applies(CountedInSteps)
    def _counted(self, event: CountedInSteps) -> None:
        self.total += event.steps


def in_steps(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"steps": data["by"]}


TYPES = MessageTypes([Counted])


@pytest.fixture
def transactions(database: Database) -> Transactions:
    return Transactions(database, "s")


@asynccontextmanager
async def repository(unit: UnitOfWork) -> AsyncIterator[Repository[Counter]]:
    yield Repository(Counter, unit, TYPES)
    await unit.complete()


async def count(transaction: Transaction, id: str, *by: int) -> None:
    """One handler's work: load, count, complete."""
    async with repository(transaction.unit_of_work(METADATA)) as counters:
        counter = await counters.load_or_new(id)
        for one in by:
            counter.count(one)


async def test_what_is_recorded_is_appended_and_found_again(transactions: Transactions) -> None:
    """Without any save."""
    async with transactions.begin() as transaction:
        await count(transaction, "c-1", 1, 2)
    async with transactions.begin() as transaction, repository(transaction.unit_of_work(METADATA)) as counters:
        counter = await counters.load("c-1")
        assert (counter.total, counter.stream_version) == (3, 2)


async def test_an_id_is_one_object_within_a_unit_of_work(transactions: Transactions) -> None:
    """What one part of a handler decides, another sees."""
    async with transactions.begin() as transaction, repository(transaction.unit_of_work(METADATA)) as counters:
        counter = await counters.load_or_new("c-1")
        counter.count(1)
        assert await counters.load_or_new("c-1") is counter
        assert await counters.load("c-1") is counter


async def test_later_units_of_a_transaction_see_what_earlier_ones_have_appended(transactions: Transactions) -> None:
    """A batch of events about one aggregate is one transaction."""
    async with transactions.begin() as transaction:
        for by in range(1, 5):
            await count(transaction, "c-1", by)
    async with transactions.begin() as transaction:
        assert [event.version for event in await transaction.load("Counter-c-1")] == [1, 2, 3, 4]


async def test_events_are_published_to_the_aggregates_topic_under_its_id(
    transactions: Transactions, database: Database
) -> None:
    """In the order of the stream."""
    async with transactions.begin() as transaction:
        await count(transaction, "c-1", 1, 2)
    async with database.reading() as connection:
        rows = (await connection.execute(select(outbox).order_by(outbox.c.sequence))).all()
    assert [(row.topic, row.key, row.aggregatetype, row.aggregateid, row.type, row.stream_version) for row in rows] == [
        ("counters", "c-1", "Counter", "c-1", "Counted", version) for version in (1, 2)
    ]


async def test_loading_what_is_not_there_is_an_error(transactions: Transactions) -> None:
    """And the text names the other method."""
    async with transactions.begin() as transaction, repository(transaction.unit_of_work(METADATA)) as counters:
        with pytest.raises(
            StreamNotFound, match=r"stream 'Counter-c-1' has no events: load_or_new\(\) starts a new one"
        ):
            await counters.load("c-1")


async def test_an_added_aggregate_conflicts_with_one_that_was_there(transactions: Transactions) -> None:
    """That its id is free is found out when it is appended."""
    new = Counter("c-1")
    new.count(1)
    async with transactions.begin() as transaction, repository(transaction.unit_of_work(METADATA)) as counters:
        counters.add(new)
        with pytest.raises(ValueError, match="Counter-c-1 is loaded already"):
            counters.add(Counter("c-1"))
    again = Counter("c-1")
    again.count(1)
    with pytest.raises(ConcurrencyConflict, match="stream 'Counter-c-1': expected version 0, is 1"):
        async with transactions.begin() as transaction, repository(transaction.unit_of_work(METADATA)) as counters:
            counters.add(again)


async def test_a_conflict_leaves_nothing_of_the_other_aggregate(transactions: Transactions) -> None:
    """All that a handler decides happens, or nothing."""
    async with transactions.begin() as transaction:
        await count(transaction, "c-1", 1)
    late = Counter("c-1")
    late.count(1)
    with pytest.raises(ConcurrencyConflict):
        async with transactions.begin() as transaction, repository(transaction.unit_of_work(METADATA)) as counters:
            (await counters.load_or_new("c-2")).count(1)
            counters.add(late)
    async with transactions.begin() as transaction:
        assert await transaction.load("Counter-c-2") == []


async def test_older_events_of_a_stream_are_upcast_when_it_is_loaded(transactions: Transactions) -> None:
    """The stream is not rewritten."""
    async with transactions.begin() as transaction:
        await count(transaction, "c-1", 1, 2)
    types = MessageTypes([CountedInSteps], Upcasters([Upcaster("Counted", 1, in_steps)]))
    async with transactions.begin() as transaction:
        counters = Repository(StepCounter, transaction.unit_of_work(METADATA), types)
        assert (await counters.load("c-1")).total == 3


async def test_an_event_of_the_stream_that_nobody_knows_any_more_is_named(transactions: Transactions) -> None:
    """A class was deleted whose events are still there."""
    async with transactions.begin() as transaction:
        await count(transaction, "c-1", 1)
    async with transactions.begin() as transaction:
        counters = Repository(Counter, transaction.unit_of_work(METADATA), MessageTypes([]))
        with pytest.raises(
            DefinitionError, match="stream 'Counter-c-1' holds a Counted v1 at 1, and Counter applies no such"
        ):
            await counters.load("c-1")
