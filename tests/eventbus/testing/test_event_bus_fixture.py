"""The fixture `event_bus`: whole applications on a real broker and SQLite, one log for each test."""

import asyncio
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from eventbus import Application
from eventbus.testing import RunningEventBus
from tests.eventbus.application import cashier, desk, till
from tests.eventbus.application.cashier import Balance, Deposit, Deposited, GetBalance
from tests.eventbus.application.desk import OrderPlaced, OrderSettled, PlaceOrder
from tests.eventbus.application.till import Paid

NOWHERE = "kafka://127.0.0.1:1"
# As services' modules have them: their log is not there, and is never asked for.
CASHIER = Application("cashier", modules=[cashier], broker_url=NOWHERE)
DESK = Application("desk", modules=[desk], broker_url=NOWHERE)
TILL = Application("till", modules=[till], broker_url=NOWHERE)


@pytest.mark.anyio
@pytest.mark.parametrize("amount", [5, 6])
async def test_each_test_has_a_log_and_a_database_of_its_own(event_bus: RunningEventBus, amount: int) -> None:
    """The second run finds nothing of the first, although the account and the topic are called the same."""
    await event_bus.start(CASHIER)
    receipt = await event_bus.send(Deposit(account_id="a-1", amount=Decimal(amount)))
    balance = await event_bus.ask(GetBalance(account_id="a-1"), at_least=receipt, timeout=20)
    assert balance == Balance(account_id="a-1", amount=Decimal(amount))
    assert await event_bus.events("cashier-accounts") == [Deposited(account_id="a-1", amount=Decimal(amount))]


@pytest.mark.anyio
async def test_it_is_settled_when_whatever_a_command_led_to_has_happened(event_bus: RunningEventBus) -> None:
    """From one service to the other and back: three events, each of which is the cause of the next."""
    await event_bus.start(DESK)
    await event_bus.start(TILL)
    await event_bus.send(PlaceOrder(order_id="o-1", total=Decimal(5)))
    await event_bus.until_settled(timeout=30)
    assert await event_bus.events("payments") == [Paid(order="o-1")]
    assert await event_bus.events("orders") == [
        OrderPlaced(order_id="o-1", total=Decimal(5)),
        OrderSettled(order_id="o-1"),
    ]


@pytest.mark.anyio
async def test_a_service_that_is_started_again_goes_on_with_its_data(event_bus: RunningEventBus) -> None:
    """Its database and its place in the log stay for the test; what came meanwhile arrives."""
    await event_bus.start(DESK)
    paying = await event_bus.start(TILL)
    await event_bus.stop(paying)
    await event_bus.send(PlaceOrder(order_id="o-1", total=Decimal(5)))
    await event_bus.until_settled(timeout=30)
    assert await event_bus.events("payments") == []
    await event_bus.start(TILL)
    await event_bus.until_settled(timeout=30)
    assert len(await event_bus.events("payments")) == 1


@pytest.mark.anyio
async def test_waiting_in_vain_says_what_is_left(event_bus: RunningEventBus) -> None:
    """A condition by its name, a message that nobody handles by its class."""
    await event_bus.start(DESK)

    def it_rains() -> bool:
        return False

    with pytest.raises(TimeoutError, match=r"after 0\.05 s: .*it_rains does not hold"):
        await event_bus.until(it_rains, timeout=0.05)
    with pytest.raises(LookupError, match="no application handles Deposit; running: desk"):
        await event_bus.send(Deposit(account_id="a-1", amount=Decimal(5)))


def test_a_test_that_is_no_coroutine_enters_it(event_bus: RunningEventBus) -> None:
    """It ends with the block, on the loop that the test has made."""

    async def scenario() -> Balance | None:
        async with event_bus:
            app = await event_bus.start(CASHIER)
            receipt = await app.send(Deposit(account_id="a-1", amount=Decimal(5)))
            return await app.ask(GetBalance(account_id="a-1"), at_least=receipt, timeout=20)

    assert asyncio.run(scenario()) == Balance(account_id="a-1", amount=Decimal(5))
    assert event_bus.apps == []


def test_what_a_test_has_started_ends_with_it(pytester_directory: Path) -> None:
    """Without a word of the test's: the next one finds nothing that runs, whether it passed or failed."""
    (pytester_directory / "test_two.py").write_text(_TWO_TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_two.py"],
        cwd=pytester_directory,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "1 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "assert 'one' == 'two'" in done.stdout


@pytest.fixture
def pytester_directory(tmp_path: Path) -> Path:
    """Where another run of pytest finds no settings but its own."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    return tmp_path


def test_the_plugin_costs_other_tests_nothing() -> None:
    """What pytest loads at every start imports no database, no client and no model."""
    program = (
        "import sys, eventbus.testing.pytest_plugin; "
        "print([name for name in ('sqlalchemy', 'pydantic', 'confluent_kafka', 'alembic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


_TWO_TESTS = """
import pytest

from eventbus import Application
from tests.eventbus.application import cashier

app = Application("cashier", modules=[cashier], broker_url="kafka://127.0.0.1:1")
kept = []

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_fails(event_bus):
    await event_bus.start(app)
    kept.append(event_bus)
    assert "one" == "two"


async def test_finds_it_stopped(event_bus):
    assert event_bus is not kept[0]
    assert kept[0].apps == []
"""
