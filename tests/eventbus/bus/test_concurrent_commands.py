"""
Many commands at the same time, for one aggregate and for many.
"""

import anyio
import pytest

from eventbus.bus import Buses, Model
from eventbus.clock import SystemClock
from eventbus.database import Database
from eventbus.errors import ConcurrencyConflict
from eventbus.handlers import Faults
from eventbus.messages import Receipt
from eventbus.observability import Counters
from eventbus.store import EventStore, Transactions
from tests.eventbus.bus import shop
from tests.eventbus.bus.shop import Sell

pytestmark = pytest.mark.anyio


@pytest.fixture
async def buses(database: Database) -> Buses:
    shop.handled.clear()
    faults = Faults()
    model = Model.of([shop], faults)
    transactions = Transactions(database, "shop-service")
    found = Buses.of("shop-service", model, transactions, faults, clock=SystemClock(), counters=Counters())
    faults.raise_all()
    return found


async def sold(database: Database, shop_id: str) -> list[str]:
    async with database.reading() as connection:
        return [event.envelope.id for event in await EventStore().load(connection, f"Shop-{shop_id}")]


async def test_commands_for_one_aggregate_are_handled_one_after_the_other(database: Database, buses: Buses) -> None:
    """
    What is decided on a version that has moved is decided again. On SQLite the second time keeps the others out, so all
    get through; on PostgreSQL who has lost every retry is told so. Nobody's event is lost or there twice.
    """
    receipts: list[Receipt] = []
    conflicts: list[ConcurrencyConflict] = []

    async def sell() -> None:
        try:
            receipts.append(await buses.commands.send(Sell(shop_id="s-1")))
        except ConcurrencyConflict as conflict:
            conflicts.append(conflict)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(sell)
    assert sorted(await sold(database, "s-1")) == sorted(id for receipt in receipts for id in receipt.event_ids)
    assert len(receipts) + len(conflicts) == 20
    if database.dialect == "sqlite":
        assert conflicts == []


async def test_commands_for_many_aggregates_do_not_disturb_each_other(database: Database, buses: Buses) -> None:
    """A hundred at once, three rounds."""
    for _ in range(3):
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(buses.commands.send, Sell(shop_id=f"s-{number}"))
    for number in range(100):
        assert len(await sold(database, f"s-{number}")) == 3


async def test_one_id_sent_by_many_at_the_same_time_is_one_command(database: Database, buses: Buses) -> None:
    """All are answered the first receipt."""
    receipts: list[Receipt] = []

    async def sell(number: int) -> None:
        receipts.append(await buses.commands.send(Sell(shop_id=f"s-{number}"), id="key"))

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(sell, number)
    assert len(receipts) == 10
    assert len({receipt.model_dump_json() for receipt in receipts}) == 1
    events = [id for number in range(10) for id in await sold(database, f"s-{number}")]
    assert tuple(events) == receipts[0].event_ids
