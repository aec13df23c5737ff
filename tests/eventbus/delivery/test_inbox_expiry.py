"""A service's inbox expires behind its checkpoints."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta

import anyio
import pytest
from sqlalchemy import func, select

from eventbus import Application
from eventbus.database import Checkpoints, InboxHorizons
from eventbus.database.tables import inbox
from eventbus.delivery import InboxExpiry
from eventbus.transport.memory import MemoryLog, MemoryTransport
from tests.eventbus.application import ledger
from tests.eventbus.application.ledger import Booked, Moved, refused, taken

pytestmark = pytest.mark.anyio

TOPICS = ("bookings", "closings", "moves")
DELAYS = ("ledger.retry.50ms", "ledger.retry.100ms")


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
async def app(log: MemoryLog) -> AsyncGenerator[Application]:
    refused.clear()
    taken.clear()
    app = Application(
        "ledger", modules=[ledger], transport=lambda: MemoryTransport(log), database_url="memory:", partitions=2
    )
    async with app.lifespan():
        yield app


async def remembered(app: Application) -> int:
    async with app.database.reading() as connection:
        return (await connection.execute(select(func.count()).select_from(inbox))).scalar_one()


async def until_remembered(app: Application, count: int) -> None:
    with anyio.fail_after(30):
        while await remembered(app) != count:
            await anyio.sleep(0.01)


async def test_rows_expire_when_every_checkpoint_has_passed_what_the_log_held(app: Application, log: MemoryLog) -> None:
    """Those of delay topics too; what is kept stays, and the horizon says up to when the rest was handled."""
    assert set(app.topics) >= {*TOPICS, *DELAYS}
    transport = MemoryTransport(log)
    await transport.start()
    now = InboxExpiry("ledger", TOPICS, DELAYS, app.database, transport, kept_seconds=0)
    later = InboxExpiry("ledger", TOPICS, DELAYS, app.database, transport, kept_seconds=3600)
    assert await now.once() == 0  # the empty log is noted
    refused.add("m-1")
    await app.publish(Booked(account="a", entry="b-1"))
    await app.publish(Moved(account="a", entry="m-1"))
    # The booking, the move, and its retries from the two delay topics.
    await until_remembered(app, 4)
    assert await now.once() == 0  # nothing was handled before the empty log was noted
    noted = datetime.now(UTC)
    assert await later.once() == await later.once() == 0
    with anyio.fail_after(30):
        while await now.once() == 0:
            await anyio.sleep(0.01)
    assert await remembered(app) == 0
    async with app.database.reading() as connection:
        horizon = (await InboxHorizons().list(connection))["ledger"]
    assert horizon is not None
    assert abs(horizon - noted) < timedelta(seconds=30)
    await transport.aclose()


async def test_a_checkpoint_that_stays_behind_keeps_the_rows(app: Application, log: MemoryLog) -> None:
    """Also the one of a delay topic of an earlier release, which nobody reads any more."""
    transport = MemoryTransport(log)
    await transport.start()
    await transport.ensure_topics({"ledger.retry.9h": 1})
    expiry = InboxExpiry("ledger", TOPICS, DELAYS, app.database, transport, kept_seconds=0)
    await app.publish(Booked(account="a", entry="b-1"))
    await until_remembered(app, 1)
    old = await _leave_behind(app, transport, "ledger.retry.9h")
    assert [await expiry.once() for _ in range(3)] == [0, 0, 0]
    assert await remembered(app) == 1
    async with app.database.transaction() as connection:
        (checkpoint,) = await Checkpoints().read(connection, "ledger.retry.9h", 0)
        await Checkpoints().advance(connection, checkpoint, old)
    with anyio.fail_after(30):
        while await expiry.once() == 0:
            await anyio.sleep(0.01)
    await transport.aclose()


async def _leave_behind(app: Application, transport: MemoryTransport, topic: str) -> int:
    """A checkpoint at the start of *topic*, which has a record; the topic's end."""
    from eventbus.database import LogPartition
    from eventbus.transport import OutgoingRecord

    producer = transport.producer()
    await producer.publish([OutgoingRecord(topic, b"a", b"{}", [])])
    await producer.aclose()
    described = await transport.describe([topic])
    place = LogPartition(described.cluster_id, topic, described.topics[topic].topic_id, 0)
    async with app.database.transaction() as connection:
        await Checkpoints().claim(connection, topic, 0, place)
    return described.topics[topic].partitions[0].end
