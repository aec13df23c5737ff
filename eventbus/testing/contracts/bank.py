"""A service in small, which the suites run over the backends that they are given: accounts, two views, a handler."""

from sqlalchemy import text

from eventbus import (
    Aggregate,
    Command,
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

TOPIC = "contract-accounts"
FAILING: set[str] = set()
"""Branches whose deposits the view of balances cannot apply at the moment."""


class Deposited(Event, name="ContractDeposited"):
    account_id: str
    branch: str
    amount: int


class Deposit(Command):
    account_id: str
    branch: str
    amount: int


class Account(Aggregate, topic=TOPIC):
    balance: int = 0

    def deposit(self, branch: str, amount: int) -> None:
        self.record(Deposited(account_id=self.id, branch=branch, amount=amount))

    @applies(Deposited)
    def _deposited(self, event: Deposited) -> None:
        self.balance += event.amount


class Balance(Row, key="account_id"):
    account_id: str
    amount: int
    deposits: int


class Balances(RowProjection[Balance], topics=[TOPIC], name="contract_balances"):
    """One row an account, whose events are all in one partition."""

    @projects(Deposited)
    def deposited(self, row: Balance | None, event: Deposited) -> Balance:
        if event.branch in FAILING and event.amount < 0:
            raise ValueError("an amount below zero")
        amount, deposits = (row.amount, row.deposits) if row else (0, 0)
        return Balance(account_id=event.account_id, amount=amount + event.amount, deposits=deposits + 1)


class Branch(Row, key="branch"):
    branch: str
    amount: int


class Branches(RowProjection[Branch], topics=[TOPIC], name="contract_branches"):
    """One row a branch, whose accounts are in all partitions: different readers change it."""

    @projects(Deposited)
    def deposited(self, row: Branch | None, event: Deposited) -> Branch:
        return Branch(branch=event.branch, amount=(row.amount if row else 0) + event.amount)


class GetBalance(Query["Balance | None"]):
    account_id: str


class GetBranch(Query["Branch | None"]):
    branch: str


@handles(Deposit)
async def deposit(command: Deposit, accounts: Repository[Account]) -> None:
    account = await accounts.load_or_new(command.account_id)
    account.deposit(command.branch, command.amount)


@handles(GetBalance)
async def get_balance(query: GetBalance, view: View[Balances]) -> Balance | None:
    return await view.get(query.account_id)


@handles(GetBranch)
async def get_branch(query: GetBranch, view: View[Branches]) -> Branch | None:
    return await view.get(query.branch)


@handles(Deposited)
async def note(event: Deposited, unit_of_work: UnitOfWork) -> None:
    await unit_of_work.connection.execute(
        text("INSERT INTO contract_notes (account_id, amount) VALUES (:account_id, :amount)"),
        {"account_id": event.account_id, "amount": event.amount},
    )
