"""A clock that a test turns: alone, and under a whole application."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
import pytest

from eventbus import Application
from eventbus.clock import Clock
from eventbus.database import DeadLetters
from eventbus.store import EventStore
from eventbus.testing import RunningEventBus, VirtualClock
from tests.eventbus.testing import courier
from tests.eventbus.testing.courier import Send, calls, failing

pytestmark = pytest.mark.anyio

NOON = datetime(2031, 5, 1, 12, tzinfo=UTC)
COURIER = Application("courier", modules=[courier], broker_url="kafka://127.0.0.1:1")


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    yield
    calls.clear()
    failing.clear()


async def test_it_stands_still_until_it_is_turned_and_wakes_sleepers_when_they_are_due() -> None:
    """In the order in which they are due, not in that in which they went to sleep."""
    clock = VirtualClock(NOON)
    port: Clock = clock
    woken: list[float] = []

    async def sleep(seconds: float) -> None:
        await port.sleep(seconds)
        woken.append(seconds)

    async with anyio.create_task_group() as tasks:
        for seconds in (30.0, 10.0, 20.0):
            tasks.start_soon(sleep, seconds)
        await anyio.wait_all_tasks_blocked()
        assert clock.waiting == [NOON + timedelta(seconds=seconds) for seconds in (10, 20, 30)]
        clock.advance(seconds=20)
        await anyio.wait_all_tasks_blocked()
        assert woken == [10.0, 20.0]
        assert clock.advance_to_next()
        await anyio.wait_all_tasks_blocked()
        assert woken == [10.0, 20.0, 30.0]
    assert clock.now() == NOON + timedelta(seconds=30)
    assert not clock.advance_to_next()


async def test_who_is_cancelled_does_not_wait_any_more() -> None:
    """A stop leaves nothing behind that a later turn would wake."""
    clock = VirtualClock()
    with anyio.move_on_after(0.01):
        await clock.sleep(60)
    assert clock.waiting == []
    await clock.sleep(0)


async def test_what_cannot_be_is_refused_with_words() -> None:
    """A clock goes forwards, and its time has a zone."""
    with pytest.raises(ValueError, match="does not go back"):
        VirtualClock().advance(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="no zone"):
        VirtualClock(datetime(2030, 1, 1))  # noqa: DTZ001 (what is refused)


async def test_retries_are_driven_without_sleeping(event_bus: RunningEventBus) -> None:
    """An event is tried at once, after an hour and after two more; the clock is turned by hand."""
    clock = VirtualClock(NOON)
    failing["announce"] = 2
    await event_bus.start(COURIER, clock=clock)
    await event_bus.send(Send(parcel_id="p-1"))
    for attempt, hours in ((1, 1), (2, 2)):
        await event_bus.until(partial(_has_failed, clock, attempt))
        clock.advance(timedelta(hours=hours))
    await event_bus.until_settled()
    tried = _of("announce")
    assert [attempt for attempt, _ in tried] == [1, 2, 3]
    assert [at for _, at in tried] == [NOON, NOON + timedelta(hours=1), NOON + timedelta(hours=3)]


async def test_delays_of_days_pass_while_it_settles(event_bus: RunningEventBus) -> None:
    """What is left waits for the clock, so it is turned: by an hour, by two days, then there is a dead letter."""
    clock = VirtualClock(NOON)
    failing["insure"] = 3
    app = await event_bus.start(COURIER, clock=clock)
    began = time.monotonic()
    await event_bus.send(Send(parcel_id="p-1"))
    await event_bus.until_settled(timeout=30)
    assert time.monotonic() - began < 30
    assert [at for _, at in _of("insure")] == [
        NOON,
        NOON + timedelta(hours=1),
        NOON + timedelta(days=2, hours=1),
    ]
    async with app.database.reading() as connection:
        (letter,) = await DeadLetters().list(connection)
    assert letter.failed_at == NOON + timedelta(days=2, hours=1)


async def test_what_is_recorded_has_its_time_and_is_read_as_of_it() -> None:
    """In memory, without a broker: Application(clock=…)."""
    clock = VirtualClock(NOON)
    app = Application("courier", modules=[courier], broker_url="memory:", clock=clock)
    async with app.lifespan():
        await app.send(Send(parcel_id="p-1"))
        clock.advance(timedelta(days=1))
        await app.send(Send(parcel_id="p-1"))
        async with app.database.reading() as connection:
            stored = await EventStore().load(connection, "Parcel-p-1")
            earlier = await EventStore().read(connection, "Parcel-p-1", until=NOON + timedelta(hours=23))
    assert [event.envelope.time for event in stored] == [NOON, NOON + timedelta(days=1)]
    assert [event.version for event in earlier] == [1]


def _has_failed(clock: VirtualClock, attempts: int) -> bool:
    return bool(clock.waiting) and len(_of("announce")) == attempts


def _of(handler: str) -> list[tuple[int, datetime]]:
    return [(attempt, at) for name, attempt, at in calls if name == handler]
