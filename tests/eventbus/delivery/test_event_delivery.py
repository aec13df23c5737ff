import anyio
import pytest
from sqlalchemy import text

from eventbus.database import Database
from eventbus.errors import CheckpointFenced, ConcurrencyConflict, DatabaseUnavailable, ForeignLog
from eventbus.handlers import handles
from eventbus.messages import Metadata
from eventbus.observability import (
    EVENTS_DEAD_LETTERED,
    EVENTS_HANDLED,
    EVENTS_REPEATED,
    EVENTS_RETRIED,
    EVENTS_SKIPPED,
    Counters,
)
from eventbus.store import Transaction, UnitOfWork
from eventbus.transport.port import IncomingRecord
from tests.eventbus.delivery.service import (
    Paid,
    Refunded,
    delivery,
    effects_in,
    letters_in,
    make_effects_table,
    place,
    record,
    records,
    take_effect,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
async def _effects_table(database: Database) -> None:
    await make_effects_table(database)


@handles(Paid)
async def take(event: Paid, work: UnitOfWork) -> None:
    await take_effect(work, event.number)


async def test_a_batch_takes_effect_in_order_and_moves_the_checkpoint(database: Database) -> None:
    """What is delivered is there once, in order, and a new claim goes on behind it."""
    subject = delivery(database, take)
    claim = await subject.claim(place(), 0, 200)
    assert claim.next_offset == 0
    await subject.apply(claim, records(range(120)), 125)
    assert await effects_in(database) == list(range(120))
    assert claim.next_offset == 125
    assert (await subject.claim(place(), 0, 200)).next_offset == 125


async def test_a_message_that_is_delivered_twice_takes_effect_once(database: Database) -> None:
    """A repeat with a new offset, in the same batch or in a later one, is dropped and counted."""
    counters = Counters()
    subject = delivery(database, take, counters=counters)
    claim = await subject.claim(place(), 0, 10)
    twice = [record(Paid(number=1), 0, message_id="a"), record(Paid(number=1), 1, message_id="a")]
    await subject.apply(claim, twice, 2)
    await subject.apply(claim, [record(Paid(number=1), 2, message_id="a")], 3)
    assert await effects_in(database) == [1]
    assert counters.value(EVENTS_REPEATED) == 2
    assert counters.value(EVENTS_HANDLED) >= 1


async def test_a_transaction_that_takes_long_by_itself_makes_no_small_slices(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow disk makes a transaction as slow for one record as for hundreds: after single ones, many share one."""
    begun = 0
    open_ = Transaction.open

    async def open_slowly(self: Transaction) -> None:
        nonlocal begun
        if not self.is_open:
            begun += 1
            await anyio.sleep(0.12)
        await open_(self)

    subject = delivery(database, take)
    claim = await subject.claim(place(), 0, 1000)
    monkeypatch.setattr(Transaction, "open", open_slowly)
    for number in range(5):
        await subject.apply(claim, [record(Paid(number=number), number)], number + 1)
    await subject.apply(claim, records(range(5, 405), start=5), 405)
    # Some ten for the 400 where a record takes 2 ms, a hundred where it takes 25; single ones would be 400.
    assert begun <= 5 + 100
    assert await effects_in(database) == list(range(405))


async def test_an_older_owner_is_fenced_and_leaves_nothing(database: Database) -> None:
    """After another claim the first owner's batch is rolled back."""
    subject = delivery(database, take)
    old = await subject.claim(place(), 0, 10)
    new = await subject.claim(place(), 0, 10)
    with pytest.raises(CheckpointFenced):
        await subject.apply(old, records([1, 2]), 2)
    assert await effects_in(database) == []
    await subject.apply(new, records([1, 2]), 2)
    assert await effects_in(database) == [1, 2]


async def test_a_failing_record_is_retried_alone_and_its_neighbours_are_not_failed(database: Database) -> None:
    """The third of five fails twice: all five take effect in order, and the attempts are counted up to the handler."""
    attempts: list[int] = []

    @handles(Paid, backoff_seconds=0.01)
    async def moody(event: Paid, work: UnitOfWork, metadata: Metadata) -> None:
        await take_effect(work, event.number)
        if event.number == 3:
            attempts.append(metadata.attempt)
            if metadata.attempt < 3:
                raise RuntimeError("not yet")

    counters = Counters()
    subject = delivery(database, moody, counters=counters)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, records([1, 2, 3, 4, 5]), 5)
    assert await effects_in(database) == [1, 2, 3, 4, 5]
    assert attempts == [1, 2, 3]
    assert counters.value(EVENTS_RETRIED) == 2
    assert await letters_in(database) == []


async def test_a_record_that_keeps_failing_becomes_a_dead_letter_as_it_came(database: Database) -> None:
    """With its attempts used up, its raw bytes and the error are kept, and the records around it take effect."""

    @handles(Paid, attempts=2, backoff_seconds=0.01, on_failure="dead-letter")
    async def broken(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number)
        if event.number == 2:
            raise RuntimeError("the provider \x00 said no")

    counters = Counters()
    subject = delivery(database, broken, counters=counters)
    claim = await subject.claim(place(), 0, 10)
    batch = records([1, 2, 3])
    await subject.apply(claim, batch, 3)
    assert await effects_in(database) == [1, 3]
    assert claim.next_offset == 3
    (letter,) = await letters_in(database)
    assert (letter.consumer, letter.handler, letter.attempts) == ("shop", "payments.broken", 2)
    assert (letter.topic, letter.partition, letter.offset, letter.message_id) == ("payments", 0, 1, "e-1")
    assert (letter.key, letter.value, letter.headers) == (b"o-1", batch[1].value, tuple(batch[1].headers))
    assert letter.error_class == "builtins.RuntimeError"
    assert letter.error_message == "the provider \\0 said no"
    assert "in broken" in letter.error_stack
    assert counters.value(EVENTS_DEAD_LETTERED, handler="payments.broken") == 1


async def test_every_record_failing_leaves_a_dead_letter_each(database: Database) -> None:
    """A batch in which nothing works is worked through to its end."""

    @handles(Paid, attempts=1, on_failure="dead-letter")
    async def broken(event: Paid) -> None:
        raise RuntimeError("never")

    subject = delivery(database, broken)
    claim = await subject.claim(place(), 0, 100)
    await subject.apply(claim, records(range(60)), 60)
    assert [letter.offset for letter in await letters_in(database)] == list(range(60))
    assert claim.next_offset == 60


async def test_what_cannot_be_decoded_becomes_a_dead_letter_and_stops_nobody(database: Database) -> None:
    """Missing headers, broken JSON, a tombstone and a NUL in the id: each is kept raw, with its reason."""
    subject = delivery(database, take)
    claim = await subject.claim(place(), 0, 10)
    good = record(Paid(number=1), 0)
    no_headers = IncomingRecord("payments", 0, 1, None, b"{}", [], 0)
    no_json = IncomingRecord("payments", 0, 2, None, b"\xff{", record(Paid(number=2), 2).headers, 0)
    tombstone = IncomingRecord("payments", 0, 3, b"k", None, record(Paid(number=3), 3).headers, 0)
    nul = record(Paid(number=4), 4, message_id="a\x00b", key=b"l")
    await subject.apply(claim, [good, no_headers, no_json, tombstone, nul, record(Paid(number=5), 5)], 6)
    assert await effects_in(database) == [1, 5]
    letters = await letters_in(database)
    assert sorted(letter.offset for letter in letters) == [1, 2, 3, 4]
    assert {letter.error_class for letter in letters} == {"eventbus.errors.UndecodableMessage"}
    assert {letter.attempts for letter in letters} == {0}


async def test_an_event_of_an_unknown_type_is_skipped_and_counted(database: Database) -> None:
    """Its type can be read in the counters; what follows it is handled."""
    counters = Counters()
    subject = delivery(database, take, counters=counters)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, [record(Refunded(number=9), 0), record(Paid(number=1), 1)], 2)
    assert await effects_in(database) == [1]
    assert counters.value(EVENTS_SKIPPED, type="Refunded") == 1
    assert await letters_in(database) == []


async def test_each_handler_of_an_event_succeeds_or_fails_for_itself(database: Database) -> None:
    """One handler's dead letter takes nothing from the other one, which runs in definition order before it."""

    @handles(Paid)
    async def first(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number, "first")

    @handles(Paid, attempts=2, backoff_seconds=0.01, on_failure="dead-letter")
    async def second(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number + 100, "second")
        if event.number == 2:
            raise RuntimeError("no")

    subject = delivery(database, first, second)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, records([1, 2, 3]), 3)
    assert await effects_in(database) == [1, 101, 2, 3, 103]
    (letter,) = await letters_in(database)
    assert letter.handler == "payments.second"


async def test_a_concurrency_conflict_is_tried_again_without_using_up_attempts(database: Database) -> None:
    """A handler with a single attempt gets over conflicts."""
    conflicts = iter([True, True, True, True, False])

    @handles(Paid, attempts=1, retries_on_conflict=3)
    async def contended(event: Paid, work: UnitOfWork) -> None:
        if event.number == 2 and next(conflicts):
            raise ConcurrencyConflict("Order-o-1", 3, 4)
        await take_effect(work, event.number)

    subject = delivery(database, contended)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, records([1, 2, 3]), 3)
    assert await effects_in(database) == [1, 2, 3]
    assert await letters_in(database) == []


async def test_an_absent_database_fails_nobody(database: Database) -> None:
    """DatabaseUnavailable goes up to the consumer, nothing is left or skipped, and the same batch works later."""
    away = iter([True, False, False, False])

    @handles(Paid, attempts=1, on_failure="dead-letter")
    async def stranded(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number)
        if event.number == 2 and next(away):
            raise DatabaseUnavailable("the server is restarting")

    subject = delivery(database, stranded)
    claim = await subject.claim(place(), 0, 10)
    with pytest.raises(DatabaseUnavailable):
        await subject.apply(claim, records([1, 2, 3]), 3)
    assert await effects_in(database) == []
    assert claim.next_offset == 0
    await subject.apply(claim, records([1, 2, 3]), 3)
    assert await effects_in(database) == [1, 2, 3]


async def test_a_handler_that_breaks_the_transaction_does_not_break_the_batch(database: Database) -> None:
    """A statement that the database refuses, and that the handler swallows, costs only the handler's own record."""

    @handles(Paid, attempts=1, on_failure="dead-letter")
    async def careless(event: Paid, work: UnitOfWork) -> None:
        if event.number == 2:
            await work.connection.execute(text("SELECT * FROM no_such_table"))
        await take_effect(work, event.number)

    subject = delivery(database, careless)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, records([1, 2, 3]), 3)
    assert await effects_in(database) == [1, 3]
    assert [letter.offset for letter in await letters_in(database)] == [1]


async def test_a_checkpoint_of_another_log_stops_with_the_way_out(database: Database) -> None:
    """Another cluster, a log that ends before the checkpoint, one that begins behind it: each is refused in words."""
    subject = delivery(database, take)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, records([1, 2, 3]), 3)
    other = type(place())("cluster-2", "payments", "topic-id-1", 0)
    with pytest.raises(ForeignLog, match="cluster-2"):
        await subject.claim(other, 0, 10)
    with pytest.raises(ForeignLog, match="the log ends at 2"):
        await subject.claim(place(), 0, 2)
    with pytest.raises(ForeignLog, match="2 records were deleted"):
        await subject.claim(place(), 5, 10)
    assert (await subject.claim(place(), 0, 10)).next_offset == 3


async def test_a_handler_that_starts_now_does_not_see_what_was_there_before(database: Database) -> None:
    """The end of the log when the handler is first seen is where its part begins, for good."""

    @handles(Paid, start="now")
    async def newcomer(event: Paid, work: UnitOfWork) -> None:
        await take_effect(work, event.number + 100, "newcomer")

    subject = delivery(database, take, newcomer)
    claim = await subject.claim(place(), 0, 2)
    await subject.apply(claim, records([1, 2, 3]), 3)
    assert await effects_in(database) == [1, 2, 3, 103]
    again = await subject.claim(place(), 0, 50)
    await subject.apply(again, records([4], start=3), 4)
    assert await effects_in(database) == [1, 2, 3, 103, 4, 104]


async def test_plain_functions_handle_events_too(database: Database) -> None:
    """A `def` runs in a worker thread, in its record's transaction."""
    seen: list[int] = []

    @handles(Paid)
    def note(event: Paid) -> None:
        seen.append(event.number)

    subject = delivery(database, note)
    claim = await subject.claim(place(), 0, 10)
    await subject.apply(claim, records([1, 2, 3]), 3)
    assert seen == [1, 2, 3]
