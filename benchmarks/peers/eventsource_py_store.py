"""
eventsource-py: its aggregate, repository and SQLite or PostgreSQL event store, with its own tables, as its
documentation puts them together.
"""

from collections.abc import Mapping
from decimal import Decimal
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from eventsource import AggregateRepository, AggregateRoot, DomainEvent, register_event
from pydantic import BaseModel

from benchmarks import answering
from benchmarks.case import Unsound
from benchmarks.peers.callers import rate

_EVENTS_OF_A_STREAM = 1000
_EVENTS_OF_AN_ACCOUNT = 10


@register_event
class Deposited(DomainEvent):
    event_type: str = "Deposited"
    aggregate_type: str = "Account"
    amount: Decimal
    reference: str


class AccountState(BaseModel):
    account_id: UUID
    balance: Decimal = Decimal(0)


class Account(AggregateRoot[AccountState]):
    aggregate_type = "Account"

    def _get_initial_state(self) -> AccountState:
        return AccountState(account_id=self.aggregate_id)

    def _apply(self, event: DomainEvent) -> None:
        state = self._state or self._get_initial_state()
        if isinstance(event, Deposited):
            self._state = state.model_copy(update={"balance": state.balance + event.amount})

    def deposit(self, amount: Decimal) -> None:
        self.apply_event(
            Deposited(
                aggregate_id=self.aggregate_id,
                amount=amount,
                reference="a reference of some length",
                aggregate_version=self.get_next_version(),
            )
        )


async def store_of(url: str) -> Any:
    if url.startswith("sqlite"):
        from eventsource import SQLiteEventStore

        store: Any = SQLiteEventStore(url.removeprefix("sqlite:///"))
        if hasattr(store, "initialize"):
            await store.initialize()
        return store
    from eventsource import PostgreSQLEventStore
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=20, max_overflow=10)
    store = PostgreSQLEventStore(engine, create_schema=True, owns_engine=True)
    if hasattr(store, "initialize"):
        await store.initialize()
    return store


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    store = await store_of(given["url"])
    repository: Any = AggregateRepository(event_store=store, aggregate_factory=Account, aggregate_type="Account")
    what, callers, seconds = given["what"], given["callers"], given["seconds"]
    accounts: list[UUID] = []
    if what == "command":
        accounts += [await _opened(repository, _EVENTS_OF_AN_ACCOUNT) for _ in range(200)]
    if what == "replay":
        accounts.append(await _opened(repository, _EVENTS_OF_A_STREAM))
    numbers = count()

    async def append() -> None:
        await _opened(repository, 1)

    async def command() -> None:
        account = await repository.load(accounts[next(numbers) % len(accounts)])
        account.deposit(Decimal(1))
        await repository.save(account)

    async def replay() -> None:
        account = await repository.load(accounts[0])
        if account.version != _EVENTS_OF_A_STREAM:
            raise Unsound(f"{_EVENTS_OF_A_STREAM} events were saved, {account.version} are there")

    works = {"append": append, "command": command, "replay": replay}

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        figures = await rate(works[what], callers, seconds)
        if what == "replay":
            return {"rate": figures["rate"] * _EVENTS_OF_A_STREAM, "CPU": figures["CPU"] / _EVENTS_OF_A_STREAM}
        return figures

    await answers.loop(run)


async def _opened(repository: Any, deposits: int) -> UUID:
    account = repository.create_new(uuid4())
    for number in range(deposits):
        account.deposit(Decimal(number))
    await repository.save(account)
    found: UUID = account.aggregate_id
    return found


if __name__ == "__main__":
    answering.serve(main)
