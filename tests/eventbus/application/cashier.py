"""A service in one module: an aggregate, a command, a query, a view and an event handler with a table of its own."""

from decimal import Decimal

from sqlalchemy import text

from eventbus import (
    Aggregate,
    Command,
    DomainError,
    Event,
    Query,
    Repository,
    Row,
    RowProjection,
    UnitOfWork,
    View,
    applies,
    handles,
    projects,
)


class Deposit(Command):
    account_id: str
    amount: Decimal


class Deposited(Event):
    account_id: str
    amount: Decimal


class Balance(Row, key="account_id"):
    account_id: str
    amount: Decimal


class AmountIsNegative(DomainError):
    pass


class Account(Aggregate, topic="cashier-accounts"):
    amount: Decimal = Decimal(0)

    def deposit(self, amount: Decimal) -> None:
        if amount < 0:
            raise AmountIsNegative(f"{amount} is negative")
        self.record(Deposited(account_id=self.id, amount=amount))

    @applies(Deposited)
    def _deposited(self, event: Deposited) -> None:
        self.amount += event.amount


class Balances(RowProjection[Balance], topics=["cashier-accounts"], version=1):
    @projects(Deposited)
    def deposited(self, row: Balance | None, event: Deposited) -> Balance:
        before = row.amount if row else Decimal(0)
        return Balance(account_id=event.account_id, amount=before + event.amount)


class GetBalance(Query["Balance | None"]):
    account_id: str


@handles(Deposit)
async def deposit(command: Deposit, accounts: Repository[Account]) -> None:
    account = await accounts.load_or_new(command.account_id)
    account.deposit(command.amount)


@handles(GetBalance)
async def get_balance(query: GetBalance, view: View[Balances]) -> Balance | None:
    return await view.get(query.account_id)


@handles(Deposited)
async def note(event: Deposited, unit_of_work: UnitOfWork) -> None:
    await unit_of_work.connection.execute(text("CREATE TABLE IF NOT EXISTS notes (account_id TEXT, amount TEXT)"))
    await unit_of_work.connection.execute(
        text("INSERT INTO notes VALUES (:account_id, :amount)"),
        {"account_id": event.account_id, "amount": str(event.amount)},
    )
