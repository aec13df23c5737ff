"""
The service that is killed: deposits into accounts, audited by a second aggregate, and two read models.

Everything in it depends on how often and in which order events arrive: an effect row has no key that would hide a
second one, and the summary's digest is another one when two deposits change places.
"""

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus import (
    Aggregate,
    Command,
    Event,
    Metadata,
    Projection,
    Repository,
    Row,
    RowProjection,
    UnitOfWork,
    applies,
    handles,
    projects,
)


class Deposit(Command):
    account: str
    number: int


class Deposited(Event):
    account: str
    number: int


class Audited(Event):
    account: str
    number: int
    deposit_id: str


class Account(Aggregate, topic="accounts"):
    deposits: int = 0

    def deposit(self, number: int) -> None:
        self.record(Deposited(account=self.id, number=number))

    @applies(Deposited)
    def _deposited(self, event: Deposited) -> None:
        self.deposits += 1


class Audit(Aggregate, topic="audits"):
    audited: int = 0

    def note(self, number: int, deposit_id: str) -> None:
        self.record(Audited(account=self.id, number=number, deposit_id=deposit_id))

    @applies(Audited)
    def _audited(self, event: Audited) -> None:
        self.audited += 1


effects = Table(
    "effects",
    MetaData(),
    Column("position", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("number", Integer, nullable=False),
)

journal = Table(
    "journal",
    MetaData(),
    Column("deposit_id", Text, primary_key=True),
    Column("number", Integer, nullable=False),
)


@handles(Deposit)
async def deposit(command: Deposit, accounts: Repository[Account]) -> None:
    account = await accounts.load_or_new(command.account)
    account.deposit(command.number)


def is_poison(number: int) -> bool:
    """Whether `take_effect` fails with this number, whenever it is tried."""
    return number % 40 == 39


@handles(Deposited, attempts=2, backoff_seconds=0.01, on_failure="dead-letter")
async def take_effect(event: Deposited, metadata: Metadata, work: UnitOfWork) -> None:
    if is_poison(event.number):
        raise ArithmeticError(f"number {event.number}")
    row = {"event_id": metadata.id, "account": event.account, "number": event.number}
    await work.connection.execute(insert(effects).values(row))


@handles(Deposited)
async def audit(event: Deposited, metadata: Metadata, audits: Repository[Audit]) -> None:
    (await audits.load_or_new(event.account)).note(event.number, metadata.id)


class AccountSummary(Row, key="account"):
    account: str
    deposits: int
    digest: int


class AccountSummaries(RowProjection[AccountSummary], topics=["accounts"]):
    @projects(Deposited)
    def deposited(self, row: AccountSummary | None, event: Deposited) -> AccountSummary:
        before = row or AccountSummary(account=event.account, deposits=0, digest=0)
        digest = (before.digest * 31 + event.number) % 1_000_003
        return AccountSummary(account=event.account, deposits=before.deposits + 1, digest=digest)


class Journal(Projection, topics=["audits"], tables=[journal]):
    @projects(Audited)
    async def audited(self, event: Audited, connection: AsyncConnection) -> None:
        # Without ON CONFLICT: what is applied twice fails, and would be among the dead letters.
        row = {"deposit_id": event.deposit_id, "number": event.number}
        await connection.execute(insert(self.table(journal)).values(row))
