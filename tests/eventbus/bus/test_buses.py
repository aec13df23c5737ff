from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import anyio
import pytest
from sqlalchemy import select

from eventbus.bus import Buses, Model
from eventbus.clock import SystemClock
from eventbus.database import Database
from eventbus.database.tables import commands as commands_table
from eventbus.database.tables import events as events_table
from eventbus.database.tables import outbox as outbox_table
from eventbus.errors import ConcurrencyConflict, DefinitionError, StreamNotFound
from eventbus.handlers import Faults
from eventbus.messages import Command
from eventbus.observability import COMMANDS_FAILED, COMMANDS_HANDLED, COMMANDS_REPEATED, COMMANDS_RETRIED, Counters
from eventbus.store import StoredEvent, Transactions
from tests.eventbus.bus import later_shop, shop
from tests.eventbus.bus.later_shop import Vend
from tests.eventbus.bus.shop import (
    Announce,
    Announced,
    CountSales,
    Forget,
    Nowhere,
    Restless,
    Sell,
    SellAlwaysLate,
    SellInThread,
    SellLater,
    SellTwice,
    SellTwiceInThread,
    Sold,
    SoldOut,
    WhoAsks,
)

pytestmark = pytest.mark.anyio


@dataclass
class Service:
    database: Database
    transactions: Transactions
    buses: Buses
    counters: Counters

    async def stream(self, name: str) -> Sequence[StoredEvent]:
        async with self.transactions.begin() as transaction:
            return await transaction.load(name)

    async def rows(self, table: str) -> int:
        found = {"events": events_table, "outbox": outbox_table, "commands": commands_table}[table]
        async with self.database.reading() as connection:
            return len((await connection.execute(select(found))).all())


@pytest.fixture
async def service(database: Database) -> Service:
    shop.handled.clear()
    return built(database, shop)


def built(database: Database, module: ModuleType) -> Service:
    faults, counters = Faults(), Counters()
    transactions = Transactions(database, "shop-service")
    model = Model.of([module], faults)
    buses = Buses.of("shop-service", model, transactions, faults, clock=SystemClock(), counters=counters)
    faults.raise_all()
    return Service(database, transactions, buses, counters)


async def test_a_command_leaves_its_events_and_outbox_rows_and_answers_their_ids(service: Service) -> None:
    """All in one transaction, at the version that was loaded."""
    first = await service.buses.commands.send(Sell(shop_id="s-1", amount=3))
    second = await service.buses.commands.send(Sell(shop_id="s-1", amount=4))
    stream = await service.stream("Shop-s-1")
    assert [event.version for event in stream] == [1, 2]
    assert (first.event_ids, second.event_ids) == ((stream[0].envelope.id,), (stream[1].envelope.id,))
    assert await service.rows("outbox") == 2
    assert service.counters.value(COMMANDS_HANDLED, type="Sell") == 2


async def test_events_carry_what_led_to_them(service: Service) -> None:
    """Correlation and causation begin with the command."""
    receipt = await service.buses.commands.send(Sell(shop_id="s-1"))
    (event,) = await service.stream("Shop-s-1")
    assert event.envelope.source == "shop-service"
    assert event.envelope.subject == "s-1"
    assert event.envelope.causation_id == receipt.command_id
    assert event.envelope.correlation_id == receipt.command_id


async def test_a_refused_command_leaves_nothing(service: Service) -> None:
    """And says who refused what."""
    with pytest.raises(SoldOut) as caught:
        await service.buses.commands.send(Sell(shop_id="s-1", amount=101), id="k-1")
    (note,) = caught.value.__notes__
    assert note.startswith("while tests.eventbus.bus.shop.sell (tests.eventbus.bus.shop:")
    assert note.endswith("handled Sell 'k-1', attempt 1")
    assert await service.rows("events") == await service.rows("outbox") == await service.rows("commands") == 0
    assert service.counters.value(COMMANDS_FAILED) == 1


async def test_a_command_with_an_id_is_handled_once(service: Service) -> None:
    """The first receipt is answered again."""
    first = await service.buses.commands.send(Sell(shop_id="s-1"), id="key")
    assert first.command_id == "key"
    assert await service.buses.commands.send(Sell(shop_id="s-1"), id="key") == first
    assert await service.rows("events") == 1
    assert service.counters.value(COMMANDS_REPEATED) == 1


async def test_the_same_id_of_another_command_is_another_command(service: Service) -> None:
    """Two endpoints may be sent the same Idempotency-Key."""
    await service.buses.commands.send(Sell(shop_id="s-1"), id="key")
    await service.buses.commands.send(SellInThread(shop_id="s-1"), id="key")
    assert await service.rows("events") == 2


async def test_a_command_that_was_renamed_is_known_by_the_ids_of_its_old_name(service: Service) -> None:
    """A caller that tries again after the deploy is answered the first receipt."""
    first = await service.buses.commands.send(Sell(shop_id="s-1"), id="key:1")
    later = built(service.database, later_shop)
    assert await later.buses.commands.send(Vend(shop_id="s-1"), id="key:1") == first
    second = await later.buses.commands.send(Vend(shop_id="s-1"), id="key:2")
    assert second.command_id == "key:2"
    assert await later.buses.commands.send(Vend(shop_id="s-1"), id="key:2") == second
    assert await service.rows("events") == 2


async def test_a_command_sent_many_times_at_once_is_handled_once(service: Service) -> None:
    """Everybody is answered the first receipt."""
    receipts = []

    async def send() -> None:
        receipts.append(await service.buses.commands.send(Sell(shop_id="s-1"), id="key"))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(send)
    assert len(receipts) == 8
    assert len(set(receipts)) == 1
    assert await service.rows("events") == 1


async def test_an_id_out_of_bounds_is_refused(service: Service) -> None:
    """It comes from outside."""
    with pytest.raises(ValueError, match="1 to 200 characters, this one 201"):
        await service.buses.commands.send(Sell(shop_id="s-1"), id="x" * 201)


async def test_concurrent_commands_on_one_aggregate_all_happen(service: Service) -> None:
    """A conflict is handled again from the start, with what the other has appended."""
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(service.buses.commands.send, Sell(shop_id="s-1"))
    assert [event.version for event in await service.stream("Shop-s-1")] == [1, 2, 3, 4]


async def test_a_conflict_is_raised_when_its_retries_are_used_up(service: Service) -> None:
    """Each with a fresh unit of work."""
    with pytest.raises(ConcurrencyConflict, match="expected version 99"):
        await service.buses.commands.send(SellAlwaysLate(shop_id="s-1"))
    assert len(shop.handled) == 3
    assert len({metadata.id for metadata in shop.handled}) == 1
    assert service.counters.value(COMMANDS_RETRIED) == 2


async def test_a_plain_function_handles_in_a_worker_thread(service: Service) -> None:
    """It may block, and reach back into the loop."""
    await service.buses.commands.send(SellInThread(shop_id="s-1"))
    assert len(await service.stream("Shop-s-1")) == 1


async def test_a_command_sent_by_a_handler_joins_its_transaction(service: Service) -> None:
    """Both sales or none; the second sees the first."""
    receipt = await service.buses.commands.send(SellTwice(shop_id="s-1"))
    stream = await service.stream("Shop-s-1")
    assert [event.version for event in stream] == [1, 2]
    assert {metadata.causation_id for metadata in shop.handled} == {receipt.command_id}
    assert {event.envelope.correlation_id for event in stream} == {receipt.command_id}


async def test_a_command_sent_from_a_worker_thread_joins_too(service: Service) -> None:
    """With a transaction of its own it would wait for the one that waits for it."""
    await service.buses.commands.send(SellTwiceInThread(shop_id="s-1"))
    assert [event.version for event in await service.stream("Shop-s-1")] == [1, 2]


async def test_a_task_that_outlives_its_handler_is_no_part_of_its_transaction(service: Service) -> None:
    """What it sends has a transaction of its own, and a correlation of its own."""
    receipt = await service.buses.commands.send(SellLater(shop_id="s-1"))
    assert receipt.event_ids == ()
    await shop.later.pop()
    (event,) = await service.stream("Shop-s-1")
    assert event.envelope.correlation_id != receipt.command_id


async def test_what_a_handler_publishes_goes_with_its_transaction(service: Service) -> None:
    """The shop does not exist: nothing is announced."""
    with pytest.raises(StreamNotFound, match="stream 'Shop-s-1' has no events"):
        await service.buses.commands.send(Announce(shop_id="s-1"))
    assert await service.rows("outbox") == 0
    await service.buses.commands.send(Sell(shop_id="s-1"))
    receipt = await service.buses.commands.send(Announce(shop_id="s-1"))
    assert len(receipt.event_ids) == 2
    assert await service.rows("outbox") == 3


async def test_an_event_is_published_outside_of_any_handler(service: Service) -> None:
    """In a transaction of its own, keyed by its key field."""
    event_id = await service.buses.events.publish(Announced(shop_id="s-1"))
    async with service.database.reading() as connection:
        (row,) = (await connection.execute(select(outbox_table))).all()
    assert (row.id, row.topic, row.key) == (event_id, "news", "s-1")


async def test_an_event_without_a_topic_or_with_an_aggregate_is_not_published(service: Service) -> None:
    """The text says what to write instead."""
    with pytest.raises(DefinitionError, match=r'Nowhere names no topic: class Nowhere\(Event, topic="…"\)'):
        await service.buses.events.publish(Nowhere())
    with pytest.raises(DefinitionError, match="Sold is recorded by the aggregate Shop"):
        await service.buses.events.publish(Sold(shop_id="s-1", amount=1))


async def test_a_query_is_answered(service: Service) -> None:
    """By an async or a plain function."""
    await service.buses.commands.send(Sell(shop_id="s-1"))
    assert await service.buses.queries.ask(CountSales(shop_id="s-1")) == 1
    assert await service.buses.queries.ask(WhoAsks()) == "shop-service"


async def test_a_query_changes_nothing(service: Service) -> None:
    """Not even by sending a command."""
    with pytest.raises(DefinitionError, match="a query changes nothing, and the handler of Restless sends a command"):
        await service.buses.queries.ask(Restless())
    assert await service.rows("events") == 0


async def test_a_command_that_nobody_handles_says_so(service: Service) -> None:
    """With what to do."""

    class Unheard(Command):
        pass

    with pytest.raises(DefinitionError, match=r"shop-service has no handler for .*Unheard: give the module"):
        await service.buses.commands.send(Unheard())


async def test_a_database_error_of_the_handler_leaves_nothing_and_goes_on(service: Service) -> None:
    """The next command finds the database as it was."""
    with pytest.raises(Exception, match="there_is_no_such_table"):
        await service.buses.commands.send(Forget())
    await service.buses.commands.send(Sell(shop_id="s-1"))
    assert await service.rows("events") == 1
