from collections import defaultdict
from collections.abc import Sequence

import anyio
import pytest

from eventbus.database import Checkpoints, Database
from eventbus.delivery.event_claim import EventClaim
from eventbus.delivery.event_delivery import EventDelivery
from eventbus.delivery.lane_stream import HELD_MAX
from eventbus.errors import CheckpointFenced
from eventbus.handlers import handles
from eventbus.messages import Metadata
from eventbus.observability import EVENTS_HANDLED, EVENTS_REPEATED, Counters
from eventbus.store import UnitOfWork
from eventbus.transport import IncomingRecord
from tests.eventbus.delivery.given_records import GivenRecords
from tests.eventbus.delivery.service import (
    Paid,
    Refunded,
    delivery,
    effects_in,
    letters_in,
    make_effects_table,
    parked_in,
    place,
    record,
    take_effect,
)

pytestmark = pytest.mark.anyio

KEYS = 5


@pytest.fixture(autouse=True)
async def _effects_table(database: Database) -> None:
    await make_effects_table(database)


def keyed(count: int, *, start: int = 0) -> list[IncomingRecord]:
    """Payments whose number is their offset, of five keys in turn."""
    return [record(Paid(number=number), number, key=b"k-%d" % (number % KEYS)) for number in range(start, count)]


def by_key(numbers: Sequence[int]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for number in numbers:
        found[number % KEYS].append(number)
    return found


async def claimed(subject: EventDelivery) -> EventClaim:
    return await subject.claim(place(), 0, 1_000_000)


@handles(Paid, concurrency=4)
async def take(event: Paid, work: UnitOfWork) -> None:
    await take_effect(work, event.number)


async def test_what_lanes_do_is_there_once_in_the_order_of_each_key(database: Database) -> None:
    """Whatever the lanes make of it, and the checkpoint is at the end."""
    counters = Counters()
    subject = delivery(database, take, counters=counters)
    claim = await claimed(subject)
    await subject.stream(claim, GivenRecords(keyed(150), 153, at_once=70))
    found = await effects_in(database)
    assert sorted(found) == list(range(150))
    assert by_key(found) == by_key(range(150))
    assert claim.next_offset == 153
    assert counters.value(EVENTS_HANDLED) == 150
    assert (await claimed(subject)).next_offset == 153


async def test_different_keys_are_handled_at_the_same_time_and_one_key_is_not(postgres_url: str) -> None:
    """With `concurrency=3` there are three handlers at work on five keys, never two on one."""
    database = Database.from_url(postgres_url)
    await make_effects_table(database)
    at_work: set[int] = set()
    most = 0
    all_there = anyio.Event()

    @handles(Paid, concurrency=3, transaction="each")
    async def slow(event: Paid, work: UnitOfWork) -> None:
        nonlocal most
        key = event.number % KEYS
        assert key not in at_work
        at_work.add(key)
        most = max(most, len(at_work))
        if len(at_work) == 3:
            all_there.set()
        with anyio.move_on_after(10):
            # The first three wait for each other; one after the other they never would be three.
            await all_there.wait()
        await take_effect(work, event.number)
        at_work.remove(key)

    subject = delivery(database, slow)
    claim = await claimed(subject)
    await subject.stream(claim, GivenRecords(keyed(20), 20))
    found = await effects_in(database)
    await database.aclose()
    assert most == 3
    assert by_key(found) == by_key(range(20))


async def test_the_checkpoint_stays_at_a_record_that_is_not_done_while_others_go_on(postgres_url: str) -> None:
    """One key is stuck: all others are handled, and the next owner begins at what was not, and repeats nothing."""
    database = Database.from_url(postgres_url)
    await make_effects_table(database)
    stuck_at = 7

    @handles(Paid, concurrency=4, transaction="each")
    async def stuck(event: Paid, work: UnitOfWork) -> None:
        if event.number == stuck_at:
            await anyio.sleep_forever()
        await take_effect(work, event.number)

    subject = delivery(database, stuck)
    claim = await claimed(subject)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subject.stream, claim, GivenRecords(keyed(50), 50))
        with anyio.fail_after(30):
            while len(await effects_in(database)) < 41 or claim.next_offset < stuck_at:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    async with database.reading() as connection:
        (checkpoint,) = await Checkpoints().read(connection, "shop", 0)
    assert checkpoint.next_offset == claim.next_offset == stuck_at
    stuck_at = -1
    counters = Counters()
    again = delivery(database, stuck, counters=counters)
    second = await claimed(again)
    await again.stream(second, GivenRecords(keyed(50, start=second.next_offset), 50))
    found = await effects_in(database)
    await database.aclose()
    assert by_key(found) == by_key(range(50))
    assert counters.value(EVENTS_REPEATED) == 34


async def test_what_is_held_behind_a_record_that_is_not_done_is_bounded(database: Database) -> None:
    """With one key stuck no more is taken than that, however much there is to read."""
    given = GivenRecords([record(Paid(number=number), number, key=b"k-%d" % number) for number in range(6000)], 6000)
    reached = anyio.Event()

    @handles(Paid, concurrency=4)
    async def first_waits(event: Paid) -> None:
        if event.number == 0:
            reached.set()
            await anyio.sleep_forever()

    subject = delivery(database, first_waits)
    claim = await claimed(subject)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subject.stream, claim, given)
        with anyio.fail_after(30):
            await reached.wait()
        await anyio.sleep(0.3)
        tasks.cancel_scope.cancel()
    assert given.taken <= HELD_MAX + 500


async def test_lanes_of_a_fenced_owner_leave_nothing(database: Database) -> None:
    """After another claim none of them commits anything."""
    subject = delivery(database, take)
    old = await claimed(subject)
    new = await claimed(subject)
    with pytest.raises(CheckpointFenced):
        await subject.stream(old, GivenRecords(keyed(40), 40))
    assert await effects_in(database) == []
    await subject.stream(new, GivenRecords(keyed(40), 40))
    assert sorted(await effects_in(database)) == list(range(40))


async def test_a_record_that_fails_is_tried_again_in_its_lane_and_then_parked(database: Database) -> None:
    """Its key's later events wait, those of other keys have taken effect, and the checkpoint is at the end."""

    @handles(Paid, concurrency=3, attempts=2, backoff_seconds=0.01)
    async def moody(event: Paid, work: UnitOfWork, metadata: Metadata) -> None:
        await take_effect(work, event.number)
        if event.number == 6 or (event.number == 8 and metadata.attempt == 1):
            raise RuntimeError("no")

    subject = delivery(database, moody)
    claim = await claimed(subject)
    await subject.stream(claim, GivenRecords(keyed(30), 30, at_once=7))
    found = await effects_in(database)
    assert by_key(found) == {**by_key(range(30)), 1: [1]}
    assert [letter.offset for letter in await letters_in(database)] == [6]
    assert await parked_in(database, b"k-1") == [11, 16, 21, 26]
    assert claim.next_offset == 30


async def test_while_a_lane_waits_to_try_again_the_others_go_on(database: Database) -> None:
    """A long wait of one key holds up no other, on SQLite neither."""
    tried = anyio.Event()

    @handles(Paid, concurrency=2, attempts=2, backoff_seconds=60.0, backoff_seconds_max=60.0)
    async def fails_first(event: Paid, work: UnitOfWork) -> None:
        if event.number == 0:
            tried.set()
            raise RuntimeError("not now")
        await take_effect(work, event.number)

    two_keys = [record(Paid(number=number), number, key=b"k-%d" % (number % 2)) for number in range(20)]
    subject = delivery(database, fails_first)
    claim = await claimed(subject)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(subject.stream, claim, GivenRecords(two_keys, 20))
        with anyio.fail_after(30):
            await tried.wait()
            while len(await effects_in(database)) < 10:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert await effects_in(database) == list(range(1, 20, 2))
    assert claim.next_offset == 0


async def test_a_handler_without_concurrency_keeps_its_order_beside_one_with_it(database: Database) -> None:
    """Its events are handled one after the other, and a key's order holds across both."""

    @handles(Refunded)
    async def in_order(event: Refunded, work: UnitOfWork) -> None:
        await take_effect(work, event.number, "in order")

    events = [Refunded(number=number) if number % 3 == 0 else Paid(number=number) for number in range(120)]
    mixed = [record(event, number, key=b"k-%d" % (number % KEYS)) for number, event in enumerate(events)]
    subject = delivery(database, take, in_order)
    await subject.stream(await claimed(subject), GivenRecords(mixed, 120))
    found = await effects_in(database)
    assert [number for number in found if number % 3 == 0] == list(range(0, 120, 3))
    assert by_key(found) == by_key(range(120))


async def test_what_the_inbox_could_not_remember_is_one_dead_letter(database: Database) -> None:
    """It is handled when all before it is done, with the checkpoint: delivered again, it is not there twice."""
    batch = keyed(20)
    batch[9] = IncomingRecord("payments", 0, 9, b"k-4", b"?", [("ce_type", b"Paid")], 0)
    subject = delivery(database, take)
    claim = await claimed(subject)
    await subject.stream(claim, GivenRecords(batch, 20))
    assert [letter.offset for letter in await letters_in(database)] == [9]
    assert sorted(await effects_in(database)) == [number for number in range(20) if number not in {9, 14, 19}]
    assert claim.next_offset == 20


async def test_what_was_not_begun_when_the_partition_is_given_up_is_the_next_owners(database: Database) -> None:
    """Lanes finish what they have in hand, the checkpoint is behind what is done, and the rest is left."""
    given = GivenRecords(keyed(200), 200, at_once=20)

    @handles(Paid, concurrency=2)
    async def until_told(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number)
        if event.number == 12:
            given.is_wanted = False

    subject = delivery(database, until_told)
    await subject.stream(await claimed(subject), given)
    next_offset = (await claimed(subject)).next_offset
    found = await effects_in(database)
    assert 0 < len(found) < 200
    assert set(range(next_offset)) <= set(found)
    await subject.stream(await claimed(subject), _rest(given, next_offset))
    assert by_key(await effects_in(database)) == by_key(range(200))


def _rest(given: GivenRecords, next_offset: int) -> GivenRecords:
    given.is_wanted = True
    return GivenRecords(keyed(200, start=next_offset), 200)


async def test_an_event_of_its_own_transaction_is_not_handled_again_for_a_neighbour(database: Database) -> None:
    """`transaction="each"`: what was done outside of the database is done once, though the next event fails."""
    outside: list[tuple[int, str]] = []

    @handles(Paid, transaction="each", attempts=2, backoff_seconds=0.0, on_failure="dead-letter")
    async def charge(event: Paid, work: UnitOfWork, metadata: Metadata) -> None:
        await take_effect(work, event.number)
        outside.append((event.number, metadata.id))
        if event.number == 3:
            raise RuntimeError("the provider said no")

    subject = delivery(database, charge)
    claim = await claimed(subject)
    await subject.apply(claim, keyed(6), 6)
    assert outside == [(number, f"e-{number}") for number in (0, 1, 2, 3, 3, 4, 5)]
    assert await effects_in(database) == [0, 1, 2, 4, 5]
    assert claim.next_offset == 6
