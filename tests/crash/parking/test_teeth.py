"""The checker's teeth: the code is broken on purpose, and what it then does is found."""

import pytest

from eventbus.database import Checkpoint, Checkpoints, Database, DeadLetter, LetterRetries
from eventbus.delivery import EventDelivery, attempts
from eventbus.delivery import slice as slices
from eventbus.delivery.drain import Drain
from eventbus.store import Transaction
from tests.crash.parking.work import PLACE, count, faults, read_world, records
from tests.crash.parking.worker import ask_for_all
from tests.eventbus.delivery.service import delivery, draining

pytestmark = pytest.mark.anyio


class Died(BaseException):
    """Stands for a kill: nothing after it is run."""


async def deliver(database: Database, first: int, end: int) -> EventDelivery:
    """Claims the partition and applies these records."""
    subject = delivery(database, count)
    await subject.apply(await subject.claim(PLACE, 0, 1000), records(first, end), end)
    return subject


async def test_sound_work_has_no_fault(shop_database: Database) -> None:
    """With parked keys, and after they have been drained."""
    await deliver(shop_database, 0, 60)
    world = await read_world(shop_database)
    assert world.dead
    assert world.waiting
    assert faults(world) == []
    drain = draining(shop_database, count)
    for _ in range(10):
        await ask_for_all(shop_database)
        while await drain.once():
            pass
    assert faults(await read_world(shop_database)) == []
    assert len((await read_world(shop_database)).effects) == 60


async def test_parking_that_lets_a_successor_pass_is_found(
    shop_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody looks whether the key is parked."""

    async def nothing(*_: object) -> set[tuple[str, bytes]]:
        return set()

    monkeypatch.setattr(slices, "parked_among", nothing)
    monkeypatch.setattr(attempts, "parked_among", nothing)
    await deliver(shop_database, 0, 60)
    assert any("its first events are" in fault for fault in faults(await read_world(shop_database)))


async def test_a_checkpoint_without_fencing_is_found(shop_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner that was frozen before its successor parked the key knows of no parked key, and lets events pass."""

    async def unfenced(_: object, __: object, checkpoint: Checkpoint, next_offset: int) -> Checkpoint:
        return checkpoint

    frozen = delivery(shop_database, count)
    old = await frozen.claim(PLACE, 0, 1000)
    await deliver(shop_database, 0, 12)
    assert faults(await read_world(shop_database)) == []
    monkeypatch.setattr(Checkpoints, "advance", unfenced)
    await frozen.apply(old, records(12, 20), 20)
    assert any("its first events are" in fault for fault in faults(await read_world(shop_database)))


async def test_a_letter_that_is_taken_away_before_its_effect_is_found(
    shop_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a transaction of its own, behind which the process dies."""
    await deliver(shop_database, 0, 11)
    await ask_for_all(shop_database)

    async def early(drain: Drain, transaction: Transaction, letter: DeadLetter, *_: object) -> None:
        await LetterRetries().remove(transaction.connection, [letter.id])
        await transaction.connection.commit()
        raise Died

    monkeypatch.setattr(Drain, "_handle_letter", early)
    with pytest.raises(BaseExceptionGroup):
        await draining(shop_database, count).once()
    assert any("are nowhere" in fault for fault in faults(await read_world(shop_database)))
