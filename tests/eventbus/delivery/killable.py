"""A service to be killed: arguments URL (of the log), DIR (of the database) and SLEEP, a handler's seconds."""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import anyio

from eventbus.database import Database, Migrations, Outbox, SlotLeases
from eventbus.delivery import Consumer, Relay
from eventbus.embedded import joined
from eventbus.handlers import handles
from eventbus.store import UnitOfWork
from eventbus.transport import KafkaTransport
from tests.eventbus.delivery.service import Paid, delivery, make_effects_table, take_effect


async def main(url: str, directory: Path, seconds: float) -> None:
    @handles(Paid)
    async def take(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number)
        await asyncio.sleep(seconds)

    async with AsyncExitStack() as stack:
        address, instance_id = url.removeprefix("kafka://"), "shop-0"
        if url.startswith("embedded:"):
            member = await stack.enter_async_context(joined(Path(url.removeprefix("embedded:")), "shop"))
            address, instance_id = member.address, member.instance_id
        database = Database.from_url(f"sqlite:///{directory}/shop.sqlite3")
        await Migrations(database).prepare()
        await make_effects_table(database)
        transport = KafkaTransport(address)
        await transport.start()
        await transport.ensure_topics({"payments": 12})
        consumer = Consumer(transport, delivery(database, take), instance_id=instance_id)
        relay = Relay(database, Outbox(), SlotLeases(), transport, instance_id, service="shop")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consumer.run)
            tasks.start_soon(relay.run)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
