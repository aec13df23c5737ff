"""An application, whole: built from a module, run over an embedded broker and a database."""

import time
import uuid
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import anyio
import pytest
from sqlalchemy import text

from eventbus import Application, Command, DefinitionError, InvalidConfiguration, Row, RowProjection, handles, projects
from tests.contracts.databases import *  # noqa: F403  the fixtures of databases
from tests.eventbus.application import cashier
from tests.eventbus.application.cashier import AmountIsNegative, Balance, Deposit, Deposited, GetBalance
from tests.servers.logs import Clusters

pytestmark = pytest.mark.anyio


def _module(name: str, **members: object) -> ModuleType:
    module = ModuleType(name)
    for member in members.values():
        member.__module__ = name  # type: ignore[attr-defined]
    vars(module).update(members)
    return module


@pytest.fixture(scope="module")
def shared_log_url(log_kind: str, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> str:
    """One log for all tests of this module."""
    if log_kind == "embedded":
        return f"embedded:{tmp_path_factory.mktemp('log')}"
    clusters: Clusters = request.getfixturevalue("kafka_cluster")
    return clusters(3).url


@pytest.fixture
async def app(shared_log_url: str, empty_database_url: str) -> AsyncGenerator[Application]:
    # The log is shared, so each service has a name, and with it a group and topics' positions, of its own.
    name = f"cashier-{uuid.uuid4().hex[:8]}"
    app = Application(name, modules=[cashier], broker_url=shared_log_url, database_url=empty_database_url, partitions=2)
    async with app.lifespan():
        yield app


async def _notes(app: Application, account_id: str) -> list[Decimal]:
    async with app.database.reading() as connection:
        found = await connection.execute(text("SELECT amount FROM notes WHERE account_id = :id"), {"id": account_id})
        return [Decimal(amount) for (amount,) in found]


async def test_a_command_reaches_the_view_that_waits_for_its_receipt(app: Application) -> None:
    """send, then ask at_least that receipt: the answer has what was sent, without any sleep."""
    account_id = f"a-{time.time_ns()}"
    await app.send(Deposit(account_id=account_id, amount=Decimal(5)))
    receipt = await app.send(Deposit(account_id=account_id, amount=Decimal("2.50")))
    balance = await app.ask(GetBalance(account_id=account_id), at_least=receipt, timeout=20)
    assert balance == Balance(account_id=account_id, amount=Decimal("7.50"))


async def test_an_event_handler_has_its_effect_once(app: Application) -> None:
    """The effect is a row of the service's own table, in the transaction of inbox and checkpoint."""
    account_id = f"a-{time.time_ns()}"
    receipt = await app.send(Deposit(account_id=account_id, amount=Decimal(3)))
    await app.ask(GetBalance(account_id=account_id), at_least=receipt, timeout=20)
    with anyio.fail_after(60):
        while True:
            try:
                if noted := await _notes(app, account_id):
                    break
            except Exception as error:
                # The handler makes the table at its first event.
                if "notes" not in str(error):
                    raise
            await anyio.sleep(0.02)
    assert noted == [Decimal(3)]


async def test_a_command_with_an_id_is_handled_once(app: Application) -> None:
    """The second send answers the first receipt and changes nothing."""
    account_id = f"a-{time.time_ns()}"
    first = await app.send(Deposit(account_id=account_id, amount=Decimal(4)), id=account_id)
    second = await app.send(Deposit(account_id=account_id, amount=Decimal(4)), id=account_id)
    assert first == second
    balance = await app.ask(GetBalance(account_id=account_id), at_least=second, timeout=20)
    assert balance is not None
    assert balance.amount == 4


async def test_a_broken_rule_leaves_nothing(app: Application) -> None:
    """The domain's error reaches the caller, and no event is kept."""
    account_id = f"a-{time.time_ns()}"
    with pytest.raises(AmountIsNegative):
        await app.send(Deposit(account_id=account_id, amount=Decimal(-1)))
    async with app.database.reading() as connection:
        stream = {"stream": f"Account-{account_id}"}
        assert (
            await connection.scalar(text("SELECT count(*) FROM eventbus_events WHERE stream = :stream"), stream)
        ) == 0


async def test_status_tells_what_runs(app: Application) -> None:
    """Both consumers run, the relay holds every slot, nothing waits."""
    with anyio.fail_after(60):
        while not (status := await app.status())["ready"]:
            await anyio.sleep(0.05)
    assert [consumer["name"] for consumer in status["consumers"]] == [app.name, "balances"]
    assert status["relay"]["slots"] == [0, 1, 2, 3]
    assert status["dead_letters"] == {}
    assert status["problem"] is None


async def test_a_service_starts_without_its_broker_and_commands_commit(empty_database_url: str, tmp_path: Path) -> None:
    """Nobody listens at the address: the service is up, not ready, and the outbox keeps what was said."""
    app = Application(
        "lonely",
        modules=[cashier],
        broker_url="kafka://127.0.0.1:1",
        database_url=empty_database_url,
        shutdown_seconds=2,
    )
    async with app.lifespan():
        await app.send(Deposit(account_id="a-1", amount=Decimal(5)))
        status = await app.status()
        assert not status["ready"]
        assert status["relay"]["rows"] == 1


def test_everything_that_does_not_fit_is_said_at_once() -> None:
    """A command without a handler and an event whose topic nobody knows: one error, a line for each."""

    class Nothing(Command):
        pass

    async def on_deposited(event: Deposited) -> None: ...

    broken = _module("broken", Nothing=Nothing, on_deposited=handles(Deposited)(on_deposited))
    with pytest.raises(DefinitionError) as raised:
        Application("broken", modules=[broken])
    words = str(raised.value)
    assert "Nothing has no handler" in words
    assert "nobody knows its topic" in words


def test_two_projections_of_one_name_are_refused() -> None:
    """Their tables would be the same."""

    class Line(Row, key="account_id"):
        account_id: str

    class One(RowProjection[Line], topics=["accounts"], version=1, name="same"):
        @projects(Deposited)
        def deposited(self, row: Line | None, event: Deposited) -> Line:
            return Line(account_id=event.account_id)

    class Two(RowProjection[Line], topics=["accounts"], version=1, name="same"):
        @projects(Deposited)
        def deposited(self, row: Line | None, event: Deposited) -> Line:
            return Line(account_id=event.account_id)

    with pytest.raises(DefinitionError, match="two projections are called 'same'"):
        Application("twice", modules=[_module("twice", One=One, Two=Two)])


@pytest.mark.parametrize(
    ("variable", "value"),
    [("EVENTBUS_BROKER_URL", "http://x"), ("EVENTBUS_DATABASE_URL", "mysql://x"), ("EVENTBUS_PARTITIONS", "many")],
)
def test_a_wrong_setting_is_one_sentence_with_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is opened."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(InvalidConfiguration, match=variable):
        Application("wrong", modules=[cashier])
