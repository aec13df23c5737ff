"""
Effects that happen once with FastStream, which has nothing for it: the handler's row and a row of an inbox under the
message's id in one SQLAlchemy transaction, and the offset after it (AckPolicy.NACK_ON_ERROR).
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Any
from uuid import uuid4

from faststream import AckPolicy, Header
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text, func, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from benchmarks import answering
from benchmarks.case import Unsound
from benchmarks.peers.faststream_handling import Paid, broker_of

_metadata = MetaData()
_rows = Table(
    "payments_seen",
    _metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=True),
    Column("order_id", Text, nullable=False),
    Column("amount", Integer, nullable=False),
)
_inbox = Table("inbox", _metadata, Column("message_id", Text, primary_key=True))


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    events: int = given["events"]
    engine = create_async_engine(given["url"].replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.begin() as connection:
        await connection.run_sync(_metadata.create_all)
    sessions = async_sessionmaker(engine)

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        async with engine.begin() as connection:
            await connection.execute(_rows.delete())
            await connection.execute(_inbox.delete())
        broker = broker_of(given["client"], given["address"])
        seen, begun, cpu = 0, 0.0, 0.0
        ended = asyncio.Event()
        options: dict[str, Any] = {"group_id": f"peer-{uuid4().hex[:8]}", "auto_offset_reset": "earliest"}

        @broker.subscriber(given["topic"], ack_policy=AckPolicy.NACK_ON_ERROR, **options)
        async def record(event: Paid, message_id: Annotated[str, Header("ce_id")]) -> None:
            nonlocal seen, begun, cpu
            if not seen:
                begun, cpu = time.perf_counter(), time.process_time()
            async with sessions() as session, session.begin():
                added = await session.execute(
                    upsert(_inbox).values(message_id=message_id).on_conflict_do_nothing().returning(_inbox.c.message_id)
                )
                if added.scalar_one_or_none() is not None:
                    await session.execute(insert(_rows).values(order_id=event.order_id, amount=event.amount))
            seen += 1
            if seen == events:
                ended.set()

        await broker.start()
        try:
            await asyncio.wait_for(ended.wait(), 80)
            seconds, used = time.perf_counter() - begun, time.process_time() - cpu
        except TimeoutError:
            raise Unsound(f"of {events} events {seen} were handled in 80 s") from None
        finally:
            await broker.stop()
        async with engine.connect() as connection:
            there = (await connection.execute(select(func.count()).select_from(_rows))).scalar_one()
        if there != events:
            raise Unsound(f"{events} events, {there} rows")
        return {"rate": (events - 1) / seconds, "CPU": used / events * 1e6}

    await answers.loop(run)
    await engine.dispose()


if __name__ == "__main__":
    answering.serve(main)
