"""
Many commands at the same time, for one aggregate and for many.
"""

import anyio
import pytest

from eventbus.bus import Buses, Model
from eventbus.clock import SystemClock
from eventbus.database import Database
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


async def test_commands_for_one_aggregate_all_get_through(database: Database, buses: Buses) -> None:
    """
    64 at once, some of them again at once, so that new ones come while others queue: with the default retries nobody is
    refused, nobody's event is lost or there twice.
    """
    receipts: list[Receipt] = []

    async def sell(times: int) -> None:
        receipts.extend([await buses.commands.send(Sell(shop_id="s-1")) for _ in range(times)])

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            for number in range(64):
                tasks.start_soon(sell, 2 if number < 36 else 1)
    assert len(receipts) == 100
    assert sorted(await sold(database, "s-1")) == sorted(id for receipt in receipts for id in receipt.event_ids)


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
