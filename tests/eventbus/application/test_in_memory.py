"""Applications over a log and a database in the memory of the process."""

import time
import uuid
from collections.abc import AsyncGenerator
from decimal import Decimal

import anyio
import pytest

from eventbus import Application, InvalidConfiguration
from eventbus.database import Database
from eventbus.transport.memory import MemoryLog, MemoryTransport
from tests.eventbus.application import cashier, desk, till
from tests.eventbus.application.cashier import Balance, Deposit, GetBalance
from tests.eventbus.application.desk import PlaceOrder

pytestmark = pytest.mark.anyio


@pytest.fixture
async def app() -> AsyncGenerator[Application]:
    app = Application("cashier", modules=[cashier], broker_url="memory:", database_url="sqlite:///:memory:")
    async with app.lifespan():
        yield app


async def deposit(app: Application, amount: int) -> Balance | None:
    """Sends a command, and answers the view that has seen it."""
    receipt = await app.send(Deposit(account_id="a-1", amount=Decimal(amount)))
    return await app.ask(GetBalance(account_id="a-1"), at_least=receipt, timeout=20)


async def test_commands_handlers_and_projections_run_in_memory(app: Application) -> None:
    """From a command through outbox, relay, log and projection to the view."""
    assert await deposit(app, 5) == Balance(account_id="a-1", amount=Decimal(5))
    assert await deposit(app, 3) == Balance(account_id="a-1", amount=Decimal(8))
    with anyio.fail_after(60):
        while (await app.status())["handled"] < 2:
            await anyio.sleep(0.005)
    status = await app.status()
    assert (status["ready"], status["broker"], status["database"]) == (True, "memory:", "memory:")
    assert status["dead_letters"] == {}


async def test_what_has_no_name_lives_as_long_as_the_application() -> None:
    """Stopped and started again it goes on where it was; another application begins empty."""
    first = Application("cashier", modules=[cashier], broker_url="memory:")
    async with first.lifespan():
        await deposit(first, 5)
    async with first.lifespan():
        assert await deposit(first, 1) == Balance(account_id="a-1", amount=Decimal(6))
    second = Application("cashier", modules=[cashier], broker_url="memory:")
    async with second.lifespan():
        assert await deposit(second, 2) == Balance(account_id="a-1", amount=Decimal(2))


async def test_applications_share_a_log_by_its_name() -> None:
    """A service answers another one's event; an instance that starts later finds the data of the one before."""
    broker_url = f"memory:{uuid.uuid4()}"
    ordering = Application("desk", modules=[desk], broker_url=broker_url)
    paying = Application("till", modules=[till], broker_url=broker_url)
    async with ordering.lifespan(), paying.lifespan():
        await ordering.send(PlaceOrder(order_id="o-1", total=Decimal(5)))
        with anyio.fail_after(60):
            while (await ordering.status())["handled"] < 1:
                await anyio.sleep(0.005)
    later = Application("desk", modules=[desk], broker_url=broker_url)
    async with later.lifespan(), later.transactions.begin() as transaction:
        assert len(await transaction.load("Order-o-1")) == 2


async def test_two_instances_of_a_service_share_its_partitions_and_slots() -> None:
    """In one process, over one database: leases and the group divide the work, and a view is whole in both."""
    broker_url = f"memory:{uuid.uuid4()}"
    one, two = (Application("cashier", modules=[cashier], broker_url=broker_url) for _ in range(2))
    async with one.lifespan(), two.lifespan():
        with anyio.fail_after(60):
            while True:
                shares = [await app.status() for app in (one, two)]
                slots = [set(share["relay"]["slots"]) for share in shares]
                partitions = [share["consumers"][0]["partitions"] for share in shares]
                if all(slots) and not slots[0] & slots[1] and partitions == [6, 6]:
                    break
                await anyio.sleep(0.02)
        await deposit(one, 1)
        assert await deposit(two, 1) == Balance(account_id="a-1", amount=Decimal(2))


async def test_a_log_that_is_away_is_waited_for() -> None:
    """Commands commit meanwhile, and their events arrive when it is back."""
    log = MemoryLog()
    app = Application("cashier", modules=[cashier], transport=lambda: MemoryTransport(log), database_url="memory:")
    async with app.lifespan():
        await deposit(app, 1)
        log.stop()
        receipt = await app.send(Deposit(account_id="a-1", amount=Decimal(1)))
        assert not (await app.status())["ready"]
        log.start()
        balance = await app.ask(GetBalance(account_id="a-1"), at_least=receipt, timeout=20)
    assert balance == Balance(account_id="a-1", amount=Decimal(2))


async def test_an_application_is_up_and_done_within_a_moment(app: Application) -> None:
    """What makes it worth its while in a unit test: start, command, view, stop, many times a second."""
    await deposit(app, 1)
    took: list[float] = []
    for _ in range(5):
        started = time.perf_counter()
        other = Application("cashier", modules=[cashier], broker_url="memory:", partitions=1)
        async with other.lifespan():
            await deposit(other, 1)
        took.append(time.perf_counter() - started)
    # The quickest of them: what else the machine does is no matter.
    assert min(took) < 0.5


async def test_a_log_or_database_of_ones_own_excludes_an_address() -> None:
    """Which one would count?"""
    with pytest.raises(InvalidConfiguration, match="give transport= or broker_url="):
        Application("cashier", modules=[cashier], broker_url="memory:", transport=lambda: MemoryTransport(MemoryLog()))
    database = Database.from_url("memory:")
    with pytest.raises(InvalidConfiguration, match="database= or database_url="):
        Application("cashier", modules=[cashier], database_url="memory:", database=database)
    await database.aclose()
