"""eventsource-py: a subscription of its manager over the PostgreSQL store, from the beginning, into a table of rows."""

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

from eventsource import AggregateRepository, DomainEvent, InMemoryEventBus, SQLCheckpointRepository
from eventsource.application.subscriptions import SubscriptionConfig, SubscriptionManager
from eventsource.migrations import get_schema
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks import answering
from benchmarks.case import Unsound
from benchmarks.peers.eventsource_py_store import Account, Deposited, store_of


class Balances:
    """The view: a row an account, written in a transaction of its own."""

    def __init__(self, engine: Any, table: str, events: int) -> None:
        self._engine = engine
        self._put = text(
            f"INSERT INTO {table} VALUES (:id, 1) ON CONFLICT (id) DO UPDATE SET deposits = {table}.deposits + 1"  # noqa: S608
        )
        self._events = events
        self._seen = 0
        self.ended = asyncio.Event()

    def subscribed_to(self) -> list[type[DomainEvent]]:
        return [Deposited]

    async def handle(self, event: DomainEvent) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(self._put, {"id": str(event.aggregate_id)})
        self._seen += 1
        if self._seen == self._events:
            self.ended.set()


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    store = await store_of(given["url"])
    repository: Any = AggregateRepository(event_store=store, aggregate_factory=Account, aggregate_type="Account")
    accounts = given["events"] // 3
    for _ in range(accounts):
        account = repository.create_new(uuid4())
        for number in range(3):
            account.deposit(Decimal(number))
        await repository.save(account)
    engine = create_async_engine(given["url"].replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.begin() as connection:
        raw: Any = await connection.get_raw_connection()
        # Between its table and its last column the file of 0.8.1 has functions, one of which PostgreSQL refuses.
        schema = get_schema("checkpoints")
        await raw.driver_connection.execute(schema.partition("CREATE OR REPLACE FUNCTION")[0])
        await raw.driver_connection.execute("".join(schema.partition("ALTER TABLE projection_checkpoints")[1:]))

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        table = f"balances_{uuid4().hex[:8]}"
        async with engine.begin() as connection:
            await connection.execute(text(f"CREATE TABLE {table} (id TEXT PRIMARY KEY, deposits INTEGER)"))
        view = Balances(engine, table, accounts * 3)
        manager: Any = SubscriptionManager(store, InMemoryEventBus(), SQLCheckpointRepository(engine))
        await manager.subscribe(view, SubscriptionConfig(start_from="beginning"), name=table)
        begun, cpu = time.perf_counter(), time.process_time()
        starting = asyncio.ensure_future(manager.start())
        try:
            await asyncio.wait_for(view.ended.wait(), 80)
        except TimeoutError:
            raise Unsound(f"not all of {accounts * 3} events came in 80 s") from None
        seconds, used = time.perf_counter() - begun, time.process_time() - cpu
        await starting
        await manager.stop()
        async with engine.connect() as connection:
            whole = f"SELECT count(*) FROM {table} WHERE deposits = 3"  # noqa: S608
            there = (await connection.execute(text(whole))).scalar_one()
        if there != accounts:
            raise Unsound(f"{accounts} accounts with three deposits each, {there} in the view")
        return {"rate": accounts * 3 / seconds, "CPU": used / (accounts * 3) * 1e6}

    await answers.loop(run)
    await engine.dispose()


if __name__ == "__main__":
    answering.serve(main)
