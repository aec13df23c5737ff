import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from eventbus.database import Database, Migrations
from eventbus.delivery import Consumer
from eventbus.handlers import handles
from eventbus.store import UnitOfWork
from eventbus.transport import KafkaTransport
from tests.eventbus.delivery.log import pay
from tests.eventbus.delivery.service import Paid, delivery, effects_in, make_effects_table, take_effect

pytestmark = pytest.mark.anyio

_SECONDS = 60


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """On SQLite alone: what differs between the databases is tested with the lanes."""
    database = Database.from_url(f"sqlite:///{tmp_path}/shop.sqlite3")
    await Migrations(database).upgrade()
    await make_effects_table(database)
    yield database
    await database.aclose()


@handles(Paid, concurrency=3)
async def take(event: Paid, work: UnitOfWork) -> None:
    await take_effect(work, event.number)


async def test_lanes_of_two_members_that_come_and_go_do_everything_once(
    transport: KafkaTransport, topic: str, database: Database
) -> None:
    """With read-ahead bounded below what there is to read; a second member joins in the middle, the first one stops."""
    service = f"shop-{uuid.uuid4().hex[:8]}"
    await pay(transport, topic, range(600))

    def member() -> Consumer:
        subject = delivery(database, take, service=service, topic=topic)
        return Consumer(transport, subject, streamed=subject, waiting_max=60)

    async def until(count: int) -> None:
        with anyio.fail_after(_SECONDS):
            while len(await effects_in(database)) < count:
                await anyio.sleep(0.02)

    first, second = member(), member()
    async with anyio.create_task_group() as tasks:
        await tasks.start(first.run)
        await until(50)
        await tasks.start(second.run)
        await until(200)
        await first.stop()
        await pay(transport, topic, range(600, 700))
        await until(700)
        await second.stop()
    assert sorted(await effects_in(database)) == list(range(700))
