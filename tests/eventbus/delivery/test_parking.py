from collections.abc import Callable

import anyio
import pytest

from eventbus.database import Database, DeadLetters, LetterRetries, Parking
from eventbus.delivery.drain import Drain
from eventbus.handlers import handles
from eventbus.messages import Metadata
from eventbus.store import UnitOfWork
from eventbus.transport.port import IncomingRecord
from tests.eventbus.delivery.service import (
    Paid,
    delivery,
    draining,
    effects_in,
    letters_in,
    make_effects_table,
    parked_in,
    place,
    record,
    retry,
    take_effect,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def _effects_table(database: Database) -> None:
    await make_effects_table(database)


def failing(broken: set[int]) -> Callable[..., object]:
    """A handler that fails with the numbers in *broken*, for as long as they are there."""

    @handles(Paid, attempts=2, backoff_seconds=0.0)
    async def moody(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number)
        if event.number in broken:
            raise RuntimeError(f"not {event.number}")

    return moody


def keyed(*pairs: tuple[str, int], start: int = 0) -> list[IncomingRecord]:
    """A record for each key and number."""
    return [
        record(Paid(number=number), offset, key=key.encode()) for offset, (key, number) in enumerate(pairs, start=start)
    ]


async def test_later_events_of_a_key_wait_behind_the_dead_one_and_all_others_go_on(database: Database) -> None:
    """In the same batch, in a later one, and after another claim."""
    handler = failing({1})
    subject = delivery(database, handler)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, keyed(("a", 0), ("a", 1), ("b", 2), ("a", 3), ("b", 4)), 5)
    await subject.apply(claim, keyed(("a", 5), ("b", 6), start=5), 7)
    again = await subject.claim(place(), 0, 10)
    await subject.apply(again, keyed(("b", 7), ("a", 8), start=7), 9)
    assert await effects_in(database) == [0, 2, 4, 6, 7]
    assert await parked_in(database, b"a") == [3, 5, 8]
    (letter,) = await letters_in(database)
    assert (letter.offset, letter.attempts, letter.key, letter.retry_at) == (1, 2, b"a", None)


async def test_a_retried_letter_is_handled_and_what_waits_drains_in_order(database: Database) -> None:
    """Then the key is live again, and nothing is left behind."""
    broken = {1}
    handler = failing(broken)
    subject, drain = delivery(database, handler), draining(database, handler)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, keyed(("a", 1), ("a", 2), ("a", 3), ("b", 4)), 4)
    assert not await drain.once()
    assert await effects_in(database) == [4]
    broken.clear()
    await retry(database)
    await drained(drain)
    assert await effects_in(database) == [4, 1, 2, 3]
    assert await letters_in(database) == []
    async with database.reading() as connection:
        assert not await Parking().is_any(connection, "shop", "payments")
    await subject.apply(claim, keyed(("a", 5), start=4), 5)
    assert await effects_in(database) == [4, 1, 2, 3, 5]


async def test_a_retry_that_fails_keeps_the_key_parked(database: Database) -> None:
    """The handler's attempts are used once more, by the service itself, and then it waits for somebody again."""
    seen: list[int] = []

    @handles(Paid, attempts=2, backoff_seconds=0.0)
    async def broken(event: Paid, metadata: Metadata) -> None:
        seen.append(metadata.attempt)
        raise RuntimeError("never")

    subject, drain = delivery(database, broken), draining(database, broken)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, keyed(("a", 1), ("a", 2)), 2)
    await retry(database)
    await drained(drain)
    assert seen == [1, 2, 3, 4]
    (letter,) = await letters_in(database)
    assert (letter.offset, letter.attempts, letter.retry_at) == (0, 4, None)
    assert await parked_in(database, b"a", handler="payments.broken") == [2]


async def test_a_waiting_event_that_fails_is_the_next_dead_letter_of_its_key(database: Database) -> None:
    """What was before it has taken effect; what is behind it waits on, in order."""
    broken = {1, 3}
    handler = failing(broken)
    subject, drain = delivery(database, handler), draining(database, handler)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, keyed(*(("a", number) for number in range(1, 7))), 6)
    broken.remove(1)
    await retry(database)
    await drained(drain)
    assert await effects_in(database) == [1, 2]
    (letter,) = await letters_in(database)
    assert (letter.offset, letter.attempts) == (2, 2)
    assert await parked_in(database, b"a") == [4, 5, 6]
    broken.clear()
    await retry(database)
    await drained(drain)
    assert await effects_in(database) == [1, 2, 3, 4, 5, 6]


async def test_a_waiting_event_that_fails_once_is_tried_again_by_itself(database: Database) -> None:
    """Nobody has to ask for it: the handler has attempts left."""
    failures = [RuntimeError("once")]
    broken = {1}

    @handles(Paid, attempts=2, backoff_seconds=0.0)
    async def moody(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number)
        if event.number in broken:
            raise RuntimeError("parked")
        if event.number == 2 and failures:
            raise failures.pop()

    subject, drain = delivery(database, moody), draining(database, moody)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, keyed(("a", 1), ("a", 2), ("a", 3)), 3)
    broken.clear()
    await retry(database)
    await drained(drain)
    assert await effects_in(database) == [1, 2, 3]
    assert await letters_in(database) == []


async def test_a_discarded_letter_lets_its_key_go_on(database: Database) -> None:
    """What waits is handled by the service; with nothing waiting the key is live at once."""
    handler = failing({1, 4})
    subject, drain = delivery(database, handler), draining(database, handler)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, keyed(("a", 1), ("a", 2), ("b", 4)), 3)
    async with database.transaction() as connection:
        ids = [letter.id for letter in await DeadLetters().list(connection)]
        assert await LetterRetries().remove(connection, ids) == 2
    await subject.apply(claim, keyed(("b", 5), ("a", 6), start=3), 5)
    assert await effects_in(database) == [5]
    await drained(drain)
    assert await effects_in(database) == [5, 2, 6]


async def test_a_key_is_parked_for_the_handler_that_failed_and_no_other(database: Database) -> None:
    """The event's second handler takes the key's events as they come, and its effects stay."""

    @handles(Paid, attempts=1)
    async def broken(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number, "broken")
        if event.number == 1:
            raise RuntimeError("never")

    @handles(Paid, attempts=1)
    async def sound(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number + 100, "sound")

    subject = delivery(database, broken, sound)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, keyed(("a", 1), ("a", 2)), 2)
    assert await effects_in(database) == [101, 102]
    assert await parked_in(database, b"a", handler="payments.broken") == [2]


async def test_an_event_without_a_key_parks_nothing(database: Database) -> None:
    """It is a dead letter alone, and can be retried as one."""
    broken = {1}
    handler = failing(broken)
    subject, drain = delivery(database, handler), draining(database, handler)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, [record(Paid(number=number), number, key=None) for number in range(3)], 3)
    assert await effects_in(database) == [0, 2]
    broken.clear()
    await retry(database)
    await drained(drain)
    assert await effects_in(database) == [0, 2, 1]
    assert await letters_in(database) == []


async def test_what_cannot_be_decoded_parks_its_key_when_its_type_is_handled_here(database: Database) -> None:
    """It may be the event that the next one of its key builds on; a type that cannot be read parks nothing."""
    handler = failing(set())
    subject = delivery(database, handler)
    claim = await subject.claim(place(), 0, 10)
    broken = record(Paid(number=1), 0, key=b"a")
    broken.value = b"\xff{"
    nameless = IncomingRecord("payments", 0, 1, b"b", b"{}", [], 0)
    await subject.apply(claim, [broken, nameless, *keyed(("a", 2), ("b", 3), start=2)], 4)
    assert await effects_in(database) == [3]
    assert await parked_in(database, b"a") == [2]
    assert [letter.handler for letter in await letters_in(database)] in (
        ["payments.moody", None],
        [None, "payments.moody"],
    )


async def test_a_repeat_of_what_is_parked_is_dropped(database: Database) -> None:
    """The dead one and those that wait are in the inbox: the relay may publish them twice."""
    broken = {1}
    handler = failing(broken)
    subject, drain = delivery(database, handler), draining(database, handler)
    claim = await subject.claim(place(), 0, 10)
    first = keyed(("a", 1), ("a", 2))
    repeats = [
        IncomingRecord(one.topic, one.partition, one.offset + 2, one.key, one.value, one.headers, 0) for one in first
    ]
    await subject.apply(claim, [*first, *repeats], 4)
    broken.clear()
    await retry(database)
    await drained(drain)
    assert await effects_in(database) == [1, 2]


async def test_two_processes_that_drain_share_the_keys_and_double_nothing(database: Database) -> None:
    """Both look at the same time; each letter and each waiting event is handled by one of them."""
    broken = set(range(10))
    handler = failing(broken)
    subject = delivery(database, handler)
    claim = await subject.claim(place(), 0, 100)
    pairs = [(f"k{number % 10}", number) for number in range(40)]
    await subject.apply(claim, keyed(*pairs), 40)
    assert await effects_in(database) == []
    broken.clear()
    await retry(database)
    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(drained, draining(database, handler))
    found = await effects_in(database)
    assert sorted(found) == list(range(40))
    for key in range(10):
        assert [number for number in found if number % 10 == key] == [key, key + 10, key + 20, key + 30]


async def drained(drain: Drain) -> None:
    """Until nothing is due any more."""
    while await drain.once():
        pass
