"""
The `eventsourcing` library: an application with an aggregate, on its SQLite or PostgreSQL module, configured by
environment as its documentation does. It is synchronous, so that several callers are threads.
"""

from collections.abc import Mapping
from decimal import Decimal
from itertools import count
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from benchmarks import answering
from benchmarks.case import Unsound
from benchmarks.peers.callers import rate_of_threads

_EVENTS_OF_A_STREAM = 1000
_EVENTS_OF_AN_ACCOUNT = 10


class Account(Aggregate):
    @event("Opened")
    def __init__(self) -> None:
        self.balance = Decimal(0)

    @event("Deposited")
    def deposit(self, amount: Decimal, reference: str) -> None:
        self.balance += amount


class Bank(Application[UUID]):
    pass


def environment(url: str, callers: int) -> dict[str, str]:
    if url.startswith("sqlite"):
        return {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": url.removeprefix("sqlite:///")}
    parts = urlsplit(url)
    host = parts.hostname or parse_qs(parts.query).get("host", ["127.0.0.1"])[0]
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": parts.path.lstrip("/"),
        "POSTGRES_HOST": host,
        "POSTGRES_PORT": str(parts.port or 5432),
        "POSTGRES_USER": parts.username or "postgres",
        "POSTGRES_PASSWORD": parts.password or "none",
        "POSTGRES_POOL_SIZE": str(max(5, min(callers, 20))),
        "POSTGRES_MAX_OVERFLOW": "10",
    }


def deposited(account: Account, times: int) -> None:
    for number in range(times):
        account.deposit(Decimal(number), "a reference of some length")


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    bank = Bank(env=environment(given["url"], given["callers"]))
    what, callers, seconds = given["what"], given["callers"], given["seconds"]
    accounts: list[UUID] = []
    if what == "command":
        for _ in range(200):
            account = Account()
            deposited(account, _EVENTS_OF_AN_ACCOUNT)
            bank.save(account)
            accounts.append(account.id)
    if what == "replay":
        account = Account()
        deposited(account, _EVENTS_OF_A_STREAM - 1)
        bank.save(account)
        accounts.append(account.id)
    numbers = count()

    def append() -> None:
        bank.save(Account())

    def command() -> None:
        account: Any = bank.repository.get(accounts[next(numbers) % len(accounts)])
        deposited(account, 1)
        bank.save(account)

    def replay() -> None:
        account: Any = bank.repository.get(accounts[0])
        if account.version != _EVENTS_OF_A_STREAM:
            raise Unsound(f"{_EVENTS_OF_A_STREAM} events were saved, {account.version} are there")

    works = {"append": append, "command": command, "replay": replay}

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        figures = rate_of_threads(works[what], callers, seconds)
        if what == "replay":
            return {"rate": figures["rate"] * _EVENTS_OF_A_STREAM, "CPU": figures["CPU"] / _EVENTS_OF_A_STREAM}
        return figures

    await answers.loop(run)
    bank.close()


if __name__ == "__main__":
    answering.serve(main)
