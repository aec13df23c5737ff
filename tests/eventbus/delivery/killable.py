"""A service to be killed: arguments DIR (of the embedded broker and the database) and SLEEP, a handler's seconds."""

import asyncio
import sys
from pathlib import Path

import anyio

from eventbus.database import Database, Migrations, Outbox, SlotLeases
from eventbus.delivery import Consumer, Relay
from eventbus.embedded import joined
from eventbus.handlers import handles
from eventbus.store import UnitOfWork
from eventbus.transport import KafkaTransport
from tests.eventbus.delivery.service import Paid, delivery, make_effects_table, take_effect


async def main(directory: Path, seconds: float) -> None:
    @handles(Paid)
    async def take(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number)
        await asyncio.sleep(seconds)

    async with joined(directory, "shop") as member:
        database = Database.from_url(f"sqlite:///{directory}/shop.sqlite3")
        await Migrations(database).prepare()
        await make_effects_table(database)
        transport = KafkaTransport(member.address)
        await transport.start()
        await transport.ensure_topics({"payments": 12})
        consumer = Consumer(transport, delivery(database, take), instance_id=member.instance_id)
        relay = Relay(database, Outbox(), SlotLeases(), transport, member.instance_id, service="shop")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(consumer.run)
            tasks.start_soon(relay.run)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), float(sys.argv[2])))
