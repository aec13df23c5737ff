"""
One of several instances of a service: it handles its share of the topic, by a handler that costs nothing, with an
inbox row an event. Its first turn ends when it has its share of the partitions; each later one when the inbox of all of
them holds every event that was written until then, and it tells how many.
"""

import asyncio
import time
from collections.abc import Mapping

import anyio
from sqlalchemy import func, select

from benchmarks import answering, delivery
from benchmarks.case import Unsound
from eventbus.application.garbage import spare_the_collector
from eventbus.database import Database, Migrations
from eventbus.database.tables import inbox
from eventbus.delivery import Consumer
from eventbus.transport import KafkaTransport


async def main(answers: answering.Answers) -> None:
    given = answering.given()
    database = Database.from_url(given["url"])
    transport = KafkaTransport(given["address"])
    await transport.start()
    await Migrations(database).upgrade()

    async def there() -> int:
        async with database.reading() as connection:
            return int((await connection.execute(select(func.count()).select_from(inbox))).scalar_one())

    async def run(turn: Mapping[str, object]) -> dict[str, float]:
        end = time.monotonic() + 80
        if turn["turn"] == 1:
            while abs(len(consumer.status().partitions) - delivery.PARTITIONS / given["instances"]) >= 1:
                if time.monotonic() > end:
                    raise Unsound(f"{len(consumer.status().partitions)} partitions after 80 s")
                await asyncio.sleep(0.1)
            return {}
        wanted = given["warm_up"] if turn["turn"] == 2 else given["warm_up"] + given["events"]
        while (seen := await there()) < wanted:
            if time.monotonic() > end:
                raise Unsound(f"of {wanted} events {seen} were handled in 80 s")
            await asyncio.sleep(0.1)
        await asyncio.sleep(0.3)
        return {"handled": float(await there())}

    consumer = Consumer(transport, delivery.trivial_delivery(database, given["service"]))
    async with anyio.create_task_group() as tasks:
        await tasks.start(consumer.run)
        spare_the_collector()
        await answers.loop(run)
        await consumer.stop()
    await transport.aclose()
    await database.aclose()


if __name__ == "__main__":
    answering.serve(main)
