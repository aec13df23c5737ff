"""Views of a running application: reading one's own writes, and a view that an operator has paused."""

from collections.abc import Callable
from decimal import Decimal

import anyio
import pytest

from eventbus import Application
from eventbus.errors import NotYetApplied
from eventbus.projections import ProjectionAdministration
from eventbus.transport.memory import MemoryLog, MemoryTransport
from tests.contracts.databases import *  # noqa: F403  the fixtures of databases
from tests.eventbus.application import cashier
from tests.eventbus.application.cashier import Balance, Deposit, GetBalance

pytestmark = pytest.mark.anyio

SECONDS_MAX = 20


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def make(log: MemoryLog, empty_database_url: str) -> Callable[[], Application]:
    def application() -> Application:
        return Application(
            "cashier",
            modules=[cashier],
            transport=lambda: MemoryTransport(log),
            database_url=empty_database_url,
            partitions=2,
            shutdown_seconds=2,
        )

    return application


async def ready(app: Application) -> None:
    with anyio.fail_after(SECONDS_MAX):
        while not (await app.status())["ready"]:
            await anyio.sleep(0.02)


async def state(app: Application) -> str:
    (found,) = [one["state"] for one in (await app.status())["consumers"] if one["name"] == "balances"]
    return found


async def test_a_question_that_may_not_wait_longer_says_that_the_relay_is_behind(
    make: Callable[[], Application], log: MemoryLog
) -> None:
    """The log is away, so the event is in the outbox only."""
    app = make()
    async with app.lifespan():
        await ready(app)
        log.stop()
        receipt = await app.send(Deposit(account_id="a-1", amount=Decimal(5)))
        with pytest.raises(NotYetApplied, match=r"1 of 1 events were not in the log after 0.2 s: the relay has not"):
            await app.ask(GetBalance(account_id="a-1"), at_least=receipt, timeout=0.2)
        log.start()
        found = await app.ask(GetBalance(account_id="a-1"), at_least=receipt, timeout=SECONDS_MAX)
        assert found == Balance(account_id="a-1", amount=Decimal(5))


async def test_a_paused_view_stands_still_over_a_restart_and_goes_on_when_it_is_resumed(
    make: Callable[[], Application],
) -> None:
    """It answers with what it has, the instance is ready, and who waits for a receipt is told who has paused it."""
    app = make()
    async with app.lifespan():
        await ready(app)
        first = await app.send(Deposit(account_id="a-1", amount=Decimal(5)))
        await app.ask(GetBalance(account_id="a-1"), at_least=first, timeout=SECONDS_MAX)
        await ProjectionAdministration(app.database, app.clock).pause("balances", by="ann@desk")
        receipt = await app.send(Deposit(account_id="a-1", amount=Decimal(2)))
        with anyio.fail_after(SECONDS_MAX):
            while await state(app) != "paused":
                await anyio.sleep(0.02)
        assert (await app.status())["ready"]
        with pytest.raises(NotYetApplied, match=r"view 'balances' had not applied .*paused since .* by ann@desk"):
            await app.ask(GetBalance(account_id="a-1"), at_least=receipt, timeout=SECONDS_MAX / 10)
        assert await app.ask(GetBalance(account_id="a-1")) == Balance(account_id="a-1", amount=Decimal(5))
    again = make()
    async with again.lifespan():
        await ready(again)
        assert await state(again) == "paused"
        await ProjectionAdministration(again.database, again.clock).resume("balances")
        found = await again.ask(GetBalance(account_id="a-1"), at_least=receipt, timeout=SECONDS_MAX)
        assert found == Balance(account_id="a-1", amount=Decimal(7))
        assert await state(again) == "running"
