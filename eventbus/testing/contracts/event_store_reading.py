"""
What an event store promises beyond exact versions: what else may be expected, repeats, and ways of reading.
"""

from datetime import UTC, datetime, timedelta

import anyio
import pytest

from eventbus.database import Database
from eventbus.errors import ConcurrencyConflict, DuplicateEventIds
from eventbus.store import Append, Appended, CategoryCursor, EventStore, Expect, StoredEvent
from eventbus.testing.contracts.event_store import append, stored

BEGIN = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
"""The time of stored(0); stored(n) is n seconds later."""


def at(expected: Expect, *events: StoredEvent, stream: str = "Order-1") -> Append:
    """An append at something else than a version."""
    return Append(stream, expected, events or (stored(),), "Order", "orders")


class EventStoreReadingContract:
    """Tests for an implementation: give `database` and, where it is not the framework's own, `event_store`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def event_store(self) -> EventStore:
        return EventStore()

    async def test_any_version_will_do(self, database: Database, event_store: EventStore) -> None:
        """Of a stream without events, and of one that has some; the answer tells the version."""
        async with database.transaction() as connection:
            assert await event_store.append(connection, [at(Expect.ANY)]) == [Appended("Order-1", 1)]
            answer = await event_store.append(connection, [at(Expect.ANY, stored(), stored()), append("Order-2", 0)])
        assert answer == [Appended("Order-1", 3), Appended("Order-2", 1)]

    async def test_none_and_exists_are_held_to(self, database: Database, event_store: EventStore) -> None:
        """A conflict words what was expected."""
        async with database.transaction() as connection:
            with pytest.raises(ConcurrencyConflict, match="expected version 1 or more, is 0"):
                await event_store.append(connection, [append("Order-2", 0), at(Expect.EXISTS)])
            await event_store.append(connection, [at(Expect.NONE)])
            with pytest.raises(ConcurrencyConflict, match="expected version 0, is 1"):
                await event_store.append(connection, [at(Expect.NONE)])
            assert await event_store.append(connection, [at(Expect.EXISTS)]) == [Appended("Order-1", 2)]
            assert await event_store.load(connection, "Order-2") == []

    async def test_concurrent_appends_at_any_version_all_find_a_place(
        self, database: Database, event_store: EventStore
    ) -> None:
        """Eight writers to one stream: no conflict, no gap, every event once."""

        async def write(number: int) -> None:
            async with database.transaction() as connection:
                await event_store.append(connection, [at(Expect.ANY, stored(number), stored(number))])

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(write, number)
        async with database.reading() as connection:
            loaded = await event_store.load(connection, "Order-1")
        assert [event.version for event in loaded] == list(range(1, 17))
        pairs = [{first.data, second.data} for first, second in zip(loaded[::2], loaded[1::2], strict=True)]
        assert all(len(pair) == 1 for pair in pairs)

    @pytest.mark.parametrize("expected", [1, Expect.ANY, Expect.EXISTS])
    async def test_a_repeat_by_event_ids_is_answered_again(
        self, database: Database, event_store: EventStore, expected: int | Expect
    ) -> None:
        """The same events at the same place: nothing is written, also when the stream has gone on since."""
        again = Append("Order-1", expected, [stored(2, id="b"), stored(3, id="c")], "Order")
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-1", 0, stored(1, id="a"))])
            assert await event_store.append(connection, [again]) == [Appended("Order-1", 3)]
            await event_store.append(connection, [append("Order-1", 3)])
            assert await event_store.append(connection, [again, append("Order-2", 0)]) == [
                Appended("Order-1", 3, is_repeat=True),
                Appended("Order-2", 1),
            ]
            assert len(await event_store.load(connection, "Order-1")) == 4

    async def test_half_a_repeat_is_a_conflict(self, database: Database, event_store: EventStore) -> None:
        """The first event was appended, the second is new: somebody is wrong about the stream."""
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-1", 0, stored(id="a"))])
            with pytest.raises(ConcurrencyConflict):
                await event_store.append(connection, [append("Order-1", 0, stored(id="a"), stored(id="b"))])
            assert len(await event_store.load(connection, "Order-1")) == 1

    @pytest.mark.parametrize("expected", [Expect.ANY, Expect.EXISTS])
    async def test_half_a_repeat_at_any_version_is_refused_with_the_places(
        self, database: Database, event_store: EventStore, expected: Expect
    ) -> None:
        """Which ids are where, and what to do; of the other streams nothing is appended either, and one can go on."""
        a, b, c, d = (stored(number, id=name) for number, name in enumerate("abcd"))
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-1", 0, a, b, c), append("Order-2", 0)])
            for half in ([c, d], [a, c], [b, a]):
                with pytest.raises(DuplicateEventIds) as caught:
                    other = Append("Order-2", Expect.ANY, [stored()], "Order")
                    await event_store.append(connection, [other, Append("Order-1", expected, half, "Order")])
                places = {"a": ("Order-1", 1), "b": ("Order-1", 2), "c": ("Order-1", 3)}
                ids = [event.envelope.id for event in half if event is not d]
                assert (caught.value.stream, caught.value.count) == ("Order-1", 2)
                assert caught.value.places == {id: places[id] for id in ids}
                assert "'c' is version 3 of 'Order-1'" in str(caught.value) or half == [b, a]
                assert "other events need ids of their own" in str(caught.value)
            assert await event_store.versions(connection, ["Order-1", "Order-2"]) == {"Order-1": 3, "Order-2": 1}

    async def test_a_part_of_an_append_is_a_repeat_at_its_own_place_only(
        self, database: Database, event_store: EventStore
    ) -> None:
        """A writer that cuts its events otherwise when it tries again is answered; one that is elsewhere is not."""
        a, b, c = (stored(number, id=name) for number, name in enumerate("abc"))
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-1", 0, a, b, c)])
            for repeat, version in ((append("Order-1", 0, a, b), 2), (append("Order-1", 1, b, c), 3)):
                answer = await event_store.append(connection, [repeat])
                assert answer == [Appended("Order-1", version, is_repeat=True)]
            for elsewhere in (append("Order-1", 0, b), append("Order-1", 0, a, c), at(Expect.NONE, b)):
                with pytest.raises(ConcurrencyConflict):
                    await event_store.append(connection, [elsewhere])
            assert [event.version for event in await event_store.load(connection, "Order-1")] == [1, 2, 3]

    async def test_an_append_of_nothing_is_refused(self, database: Database, event_store: EventStore) -> None:
        """It would neither write nor check."""
        async with database.transaction() as connection:
            with pytest.raises(ValueError, match="no events"):
                await event_store.append(connection, [Append("Order-1", 0, [], "Order")])

    async def test_a_stream_is_read_from_a_version_and_so_far(
        self, database: Database, event_store: EventStore
    ) -> None:
        """Forwards and backwards, with a limit."""
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-1", 0, *(stored(number) for number in range(5)))])
            await event_store.append(connection, [append("Order-2", 0)])
        async with database.reading() as connection:
            forwards = await event_store.read(connection, "Order-1", from_version=2, limit=3)
            backwards = await event_store.read_backwards(connection, "Order-1", from_version=4, limit=3)
            last = await event_store.read_backwards(connection, "Order-1", limit=1)
            versions = await event_store.versions(connection, ["Order-1", "Order-2", "Order-none"])
        assert [event.version for event in forwards] == [2, 3, 4]
        assert [event.version for event in backwards] == [4, 3, 2]
        assert [event.version for event in last] == [5]
        assert versions == {"Order-1": 5, "Order-2": 1, "Order-none": 0}

    async def test_a_stream_is_read_as_of_a_time(self, database: Database, event_store: EventStore) -> None:
        """What had been recorded until then, that moment included."""
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-1", 0, *(stored(number) for number in range(5)))])
        async with database.reading() as connection:
            found = await event_store.read(connection, "Order-1", until=BEGIN + timedelta(seconds=2))
            before = await event_store.read(connection, "Order-1", until=BEGIN - timedelta(microseconds=1))
        assert [event.version for event in found] == [1, 2, 3]
        assert before == []

    async def test_a_category_is_read_page_by_page(self, database: Database, event_store: EventStore) -> None:
        """All of its streams by time, other categories not; events of one time are not lost between pages."""
        async with database.transaction() as connection:
            for number in range(7):
                events = [stored(number // 3), stored(number // 3)]
                await event_store.append(connection, [append(f"Order-{number}", 0, *events)])
            await event_store.append(connection, [Append("Payment-1", 0, [stored()], "Payment")])
        pages: list[list[StoredEvent]] = []
        async with database.reading() as connection:
            cursor = None
            while page := await event_store.read_category(connection, "Order", after=cursor, limit=4):
                pages.append(page)
                cursor = CategoryCursor.behind(page[-1])
            early = await event_store.read_category(connection, "Order", until=BEGIN)
        found = [event.envelope for page in pages for event in page]
        assert [len(page) for page in pages] == [4, 4, 4, 2]
        assert len({envelope.id for envelope in found}) == 14
        assert [envelope.time for envelope in found] == sorted(envelope.time for envelope in found)
        assert {envelope.stream for envelope in found} == {f"Order-{number}" for number in range(7)}
        assert len(early) == 6
