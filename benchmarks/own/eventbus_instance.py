"""
One of several instances of a service: it handles its share of the topic, by a handler that costs nothing, with an
inbox row an event. Asked for a turn, it waits until the inbox of all of them holds every event, and tells how many.
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

    async def run(_turn: Mapping[str, object]) -> dict[str, float]:
        end = time.monotonic() + 80
        while (seen := await there()) < given["events"]:
            if time.monotonic() > end:
                raise Unsound(f"of {given['events']} events {seen} were handled in 80 s")
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
