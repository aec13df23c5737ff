"""
What a whole service promises over a database and a log: commands, relay, log, handlers with effects once, views.

Give `make_database` (an open database at each call, of the same tables) and, unless the log is to be one in memory,
`make_transport` (a connection at each call, to the same log), as `Application(database=…, transport=…)` takes them.
"""

import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import pytest
from sqlalchemy import text

from eventbus.application import Application
from eventbus.database import DeadLetter, DeadLetters, LetterFilter
from eventbus.messages import Envelope, Receipt
from eventbus.projections import AnyProjection, Rebuild, RebuildResult
from eventbus.testing.contracts import bank
from eventbus.testing.contracts.bank import (
    TOPIC,
    Balance,
    Balances,
    Branch,
    Branches,
    Deposit,
    Deposited,
    GetBalance,
    GetBranch,
)
from eventbus.testing.contracts.database import MakeDatabase as MakeDatabase  # here is where users know it from
from eventbus.transport import OutgoingRecord, Published, Transport
from eventbus.transport.memory import MemoryLog, MemoryTransport

MakeTransport = Callable[[], Transport]


class Bank:
    """One test's service: names of its own, because the log may hold what other tests have written."""

    def __init__(self, make_database: MakeDatabase, make_transport: MakeTransport) -> None:
        self.make_database = make_database
        self.make_transport = make_transport
        self.name = f"bank-{uuid.uuid4().hex[:8]}"
        self.branch = f"branch-{uuid.uuid4().hex[:8]}"

    def account(self, number: int = 0) -> str:
        return f"{self.branch}-{number}"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Application]:
        """An instance of the service, until the block ends."""
        app = Application(
            self.name, modules=[bank], transport=self.make_transport, database=self.make_database(), partitions=3
        )
        async with app.lifespan():
            yield app

    async def deposit(self, app: Application, *numbers: int, amount: int = 1) -> Receipt:
        """A deposit into each of these accounts; the last one's receipt."""
        receipts = [
            await app.send(Deposit(account_id=self.account(number), branch=self.branch, amount=amount))
            for number in numbers
        ]
        return receipts[-1]

    async def notes(self, app: Application) -> int:
        """How many effects the event handler has had for this branch."""
        async with app.database.reading() as connection:
            found = await connection.scalar(
                text("SELECT count(*) FROM contract_notes WHERE account_id LIKE :accounts"),
                {"accounts": f"{self.branch}-%"},
            )
        return int(found or 0)

    async def dead_letters(self, app: Application, consumer: str) -> Sequence[DeadLetter]:
        async with app.database.reading() as connection:
            return await DeadLetters().list(connection, LetterFilter(consumer=consumer))

    async def rebuild(self, app: Application, projection: type[AnyProjection]) -> RebuildResult:
        """Builds the view anew."""
        transport = self.make_transport()
        await transport.start()
        try:
            types = app.model.types
            return await Rebuild(projection, database=app.database, transport=transport, types=types).run()
        finally:
            await transport.aclose()

    async def write(self, events: Sequence[tuple[Envelope, Deposited]]) -> None:
        """Puts records into the log that no outbox has seen, as a relay's repeat or another service does."""
        transport = self.make_transport()
        await transport.start()
        producer = transport.producer()
        outcomes = await producer.publish(
            [
                OutgoingRecord(TOPIC, event.account_id.encode(), event.model_dump_json().encode(), envelope.headers())
                for envelope, event in events
            ]
        )
        assert all(isinstance(outcome, Published) for outcome in outcomes)
        await producer.aclose()
        await transport.aclose()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Waits for what a running service brings about in the end."""
    with anyio.fail_after(seconds):
        while not await condition():
            await anyio.sleep(0.02)


class ServiceContract:
    """Tests for a database and a log: give `make_database`, and `make_transport` for another log than one in memory."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def make_transport(self) -> MakeTransport:
        log = MemoryLog()
        return lambda: MemoryTransport(log)

    @pytest.fixture
    async def bank(self, make_database: MakeDatabase, make_transport: MakeTransport) -> Bank:
        """The service, with the table that its event handler writes to."""
        database = make_database()
        async with database.transaction() as connection:
            await connection.execute(text("CREATE TABLE contract_notes (account_id TEXT, amount INTEGER)"))
        await database.aclose()
        return Bank(make_database, make_transport)

    async def test_a_command_reaches_the_view_that_waits_for_its_receipt(self, bank: Bank) -> None:
        """Through outbox, relay, log and projection, without any sleep."""
        async with bank.running() as app:
            await bank.deposit(app, 0, amount=5)
            receipt = await bank.deposit(app, 0, amount=2)
            balance = await app.ask(GetBalance(account_id=bank.account()), at_least=receipt, timeout=30)
        assert balance == Balance(account_id=bank.account(), amount=7, deposits=2)

    async def test_every_event_has_its_effect_once(self, bank: Bank) -> None:
        """Of many accounts, over a stop and a new start in the middle."""
        async with bank.running() as app:
            await bank.deposit(app, *range(20))
        async with bank.running() as app:
            await bank.deposit(app, *range(20))

            async def all_are_noted() -> bool:
                return await bank.notes(app) >= 40

            await until(all_are_noted)
            receipt = await bank.deposit(app, 0)
            await app.ask(GetBalance(account_id=bank.account()), at_least=receipt, timeout=30)
            await until(lambda: _is(bank.notes(app), 41))

    async def test_what_the_log_has_twice_has_its_effect_once(self, bank: Bank) -> None:
        """A relay that died between publishing and deleting publishes again: same id, same stream version."""
        async with bank.running() as app:
            receipt = await bank.deposit(app, 0, amount=5)
            await app.ask(GetBalance(account_id=bank.account()), at_least=receipt, timeout=30)
            async with app.transactions.begin() as transaction:
                (stored,) = await transaction.load(f"Account-{bank.account()}")
            again = Deposited.model_validate_json(stored.data)
            await bank.write([(stored.envelope, again), (stored.envelope, again)])
            receipt = await bank.deposit(app, 0, amount=1)
            balance = await app.ask(GetBalance(account_id=bank.account()), at_least=receipt, timeout=30)
            await until(lambda: _is(bank.notes(app), 2))
        assert balance == Balance(account_id=bank.account(), amount=6, deposits=2)

    async def test_an_event_that_a_view_cannot_apply_harms_no_other(
        self, bank: Bank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is kept as a dead letter with its error; what came with it is applied."""
        monkeypatch.setattr("eventbus.testing.contracts.bank.FAILING", {bank.branch})
        async with bank.running() as app:
            receipt = await bank.deposit(app, 0)
            await app.ask(GetBalance(account_id=bank.account()), at_least=receipt, timeout=30)
            async with app.transactions.begin() as transaction:
                (stored,) = await transaction.load(f"Account-{bank.account()}")
            account = bank.account(1)
            bad = Deposited(account_id=account, branch=bank.branch, amount=-1)
            envelope = replace(stored.envelope, id=str(uuid.uuid4()), stream=f"Account-{account}")
            good = Deposited(account_id=account, branch=bank.branch, amount=3)
            after = replace(stored.envelope, id=str(uuid.uuid4()), stream=f"Account-{account}", stream_version=2)
            await bank.write([(envelope, bad), (after, good)])

            async def is_kept() -> bool:
                return any(one.message_id == envelope.id for one in await bank.dead_letters(app, "contract_balances"))

            async def good_is_applied() -> bool:
                return await app.ask(GetBalance(account_id=account)) is not None

            await until(is_kept)
            await until(good_is_applied)
            letters = await bank.dead_letters(app, "contract_balances")
            balance = await app.ask(GetBalance(account_id=account))
        assert "an amount below zero" in next(one for one in letters if one.message_id == envelope.id).error_message
        assert balance == Balance(account_id=account, amount=3, deposits=1)

    async def test_two_instances_change_the_same_rows_and_lose_no_update(self, bank: Bank) -> None:
        """Each reads some of the partitions, and a branch's accounts are in all of them."""
        async with bank.running() as one, bank.running() as two:
            for _ in range(3):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(bank.deposit, one, *range(15))
                    tasks.start_soon(bank.deposit, two, *range(15, 30))

            async def is_complete() -> bool:
                return await two.ask(GetBranch(branch=bank.branch)) == Branch(branch=bank.branch, amount=90)

            await until(is_complete)
            await until(lambda: _is(bank.notes(one), 90))

    async def test_a_rebuild_gives_the_same_rows_and_the_view_goes_on(self, bank: Bank) -> None:
        """Under new events, compared row by row at the switch."""
        async with bank.running() as app:
            receipt = await bank.deposit(app, *range(20))
            await app.ask(GetBranch(branch=bank.branch), at_least=receipt, timeout=30)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(bank.deposit, app, *range(20))
                results = [await bank.rebuild(app, projection) for projection in (Balances, Branches)]
                assert [(result.generation, result.rows_compared) for result in results] == [(2, True), (2, True)]
            receipt = await bank.deposit(app, 0)
            await app.ask(GetBalance(account_id=bank.account()), at_least=receipt, timeout=30)
            await until(lambda: _is_branch(app, bank.branch, 41))


async def _is(found: Awaitable[int], expected: int) -> bool:
    number = await found
    assert number <= expected, f"{number} effects of {expected} events"
    return number == expected


async def _is_branch(app: Application, branch: str, amount: int) -> bool:
    return await app.ask(GetBranch(branch=branch)) == Branch(branch=branch, amount=amount)
