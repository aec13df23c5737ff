"""The checker's teeth: lanes are broken on purpose, and what they then do is found."""

import anyio
import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.database import Checkpoint, Checkpoints, Database
from eventbus.delivery.lanes import Lanes
from eventbus.handlers import handles
from eventbus.messages import Metadata
from eventbus.store import UnitOfWork
from tests.crash.parking.work import (
    PLACE,
    Counted,
    count,
    count_in_lanes,
    faults_of_lanes,
    read_world,
    records,
)
from tests.eventbus.delivery.given_records import GivenRecords
from tests.eventbus.delivery.service import delivery

pytestmark = pytest.mark.anyio


async def die_with_a_lane_at_work(database: Database) -> None:
    """The lanes of six keys have done what there is; the seventh's is at its first event when the process dies."""
    reached = anyio.Event()

    @handles(Counted, concurrency=7)
    async def stuck(event: Counted, metadata: Metadata, work: UnitOfWork) -> None:
        if event.number == 2:
            await reached.wait()
            # It cannot wait in a transaction of SQLite, which has one writer: as if it were tried again.
            raise ArithmeticError
        await count(event, metadata, work)

    # The next owner's handler is the same one to the inbox.
    stuck.__name__ = count_in_lanes.__name__
    subject = delivery(database, stuck)
    claim = await subject.claim(PLACE, 0, 1000)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subject.stream, claim, GivenRecords(records(0, 60), 60))
        reached.set()
        with anyio.fail_after(30):
            while (await read_world(database)).next_offset < 2:
                await anyio.sleep(0.01)
        await anyio.sleep(0.5)
        tasks.cancel_scope.cancel()


async def test_sound_lanes_have_no_fault(shop_database: Database) -> None:
    """When they die in the middle, and when the next owner has done the rest."""
    await die_with_a_lane_at_work(shop_database)
    assert faults_of_lanes(await read_world(shop_database)) == []
    subject = delivery(shop_database, count_in_lanes)
    claim = await subject.claim(PLACE, 0, 1000)
    await subject.stream(claim, GivenRecords(records(claim.next_offset, 60), 60))
    assert faults_of_lanes(await read_world(shop_database)) == []


async def test_a_lane_that_moves_the_checkpoint_past_an_unfinished_neighbour_is_found(
    shop_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frontier is where the last record is, done or not."""
    monkeypatch.setattr(Lanes, "frontier", property(lambda lanes: lanes._position))
    await die_with_a_lane_at_work(shop_database)
    assert any("are nowhere" in fault for fault in faults_of_lanes(await read_world(shop_database)))


async def test_lanes_without_fencing_are_found(shop_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner that was frozen before its successor parked the key knows of no parked key, and lets events pass."""

    async def unfenced(_: Checkpoints, __: AsyncConnection, checkpoint: Checkpoint) -> None:
        return None

    frozen, successor = delivery(shop_database, count_in_lanes), delivery(shop_database, count_in_lanes)
    old = await frozen.claim(PLACE, 0, 1000)
    new = await successor.claim(PLACE, 0, 1000)
    await successor.stream(new, GivenRecords(records(0, 12), 12))
    assert faults_of_lanes(await read_world(shop_database)) == []
    monkeypatch.setattr(Checkpoints, "hold", unfenced)
    given = GivenRecords(records(12, 20), 20)
    with pytest.raises(Exception, match="taken over by another owner"):
        await frozen.stream(old, given)
    assert any("its first events are" in fault for fault in faults_of_lanes(await read_world(shop_database)))
