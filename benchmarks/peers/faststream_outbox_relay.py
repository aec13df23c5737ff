"""
faststream-outbox: rows added in SQLAlchemy transactions, relayed to the log by the stacked decorators of its quick
start; `tuned` with eight workers and batches of a hundred. A row counts when the log has answered for it.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from faststream.kafka import KafkaBroker
from faststream_outbox import OutboxBroker, make_outbox_table
from sqlalchemy import MetaData, func, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from benchmarks import answering
from benchmarks.case import Unsound

_QUEUE = "accounts_outbox"
_BATCH = 500


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    metadata = MetaData()
    table = make_outbox_table(metadata, table_name="outbox")
    engine = create_async_engine(given["url"].replace("postgresql://", "postgresql+asyncpg://"), pool_size=20)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    outbox = OutboxBroker(engine, outbox_table=table)
    kafka: Any = KafkaBroker(given["address"], logger=None)
    publisher = kafka.publisher(given["topic"])
    options: dict[str, Any] = {}
    if given["tuned"]:
        options = {"max_workers": 8, "fetch_batch_size": 100, "min_fetch_interval": 0.01, "max_fetch_interval": 0.1}

    @publisher
    @outbox.subscriber(_QUEUE, **options)
    async def relay(body: dict[str, Any]) -> dict[str, Any]:
        return body

    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def add(count: int) -> None:
        async with sessions() as session, session.begin():
            for number in range(count):
                body = {"account_id": f"a-{number % 1000}", "amount": number, "reference": "a reference of some length"}
                await outbox.publish(body, queue=_QUEUE, session=session)

    async def left() -> int:
        async with engine.connect() as connection:
            return int((await connection.execute(select(func.count()).select_from(table))).scalar_one())

    async def until_empty(look: float) -> None:
        end = time.perf_counter() + 80
        while await left():
            if time.perf_counter() > end:
                raise Unsound(f"{await left()} rows are left after 80 s")
            await asyncio.sleep(look)

    await kafka.connect()

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        rows = given["rows"]
        for start in range(0, rows, _BATCH):
            await add(min(_BATCH, rows - start))
        begun = time.perf_counter()
        await outbox.start()
        try:
            await until_empty(0.01)
            rate = rows / (time.perf_counter() - begun)
            await asyncio.sleep(0.5)
            found: list[float] = []
            end = time.perf_counter() + given["seconds"]
            while time.perf_counter() < end or len(found) < 5:
                await asyncio.sleep(0.02)
                await add(1)
                committed = time.perf_counter()
                await until_empty(0.0005)
                found.append((time.perf_counter() - committed) * 1000)
        finally:
            await outbox.stop()
        found.sort()
        return {"rate": rate, "p50": found[len(found) // 2], "p99": found[min(len(found) - 1, len(found) * 99 // 100)]}

    await answers.loop(run)
    await kafka.stop()
    await engine.dispose()


if __name__ == "__main__":
    answering.serve(main)
