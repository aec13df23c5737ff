"""
What an event store promises, on any database.
"""

import uuid
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from eventbus.database import Database
from eventbus.errors import ConcurrencyConflict, DuplicateEventIds
from eventbus.messages import Envelope
from eventbus.store import Append, Appended, EventStore, StoredEvent


def stored(number: int = 0, *, id: str | None = None) -> StoredEvent:
    """An event that is to be appended."""
    envelope = Envelope(
        id=id or str(uuid.uuid4()),
        type="Placed",
        version=2,
        source="order-service",
        time=datetime(2026, 1, 31, 12, 0, 0, 123456, UTC) + timedelta(seconds=number),
        subject="o-1",
        correlation_id="correlation",
        causation_id="causation",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )
    return StoredEvent(envelope, b'{"number":%d,"name":"\xc3\xa9"}' % number)


def append(stream: str, expected_version: int, *events: StoredEvent) -> Append:
    """An append to a stream of the category Order."""
    return Append(stream, expected_version, events or (stored(),), "Order", "orders")


class EventStoreContract:
    """Tests for an implementation: give `database` and, where it is not the framework's own, `event_store`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def event_store(self) -> EventStore:
        return EventStore()

    async def test_events_are_loaded_in_order_as_they_were_appended(
        self, database: Database, event_store: EventStore
    ) -> None:
        """Ids, times, texts and bytes come back unchanged, with stream and version."""
        events = [stored(number) for number in range(3)]
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-1", 0, *events)])
        async with database.reading() as connection:
            loaded = await event_store.load(connection, "Order-1")
        assert [event.data for event in loaded] == [event.data for event in events]
        assert [event.version for event in loaded] == [1, 2, 3]
        for found, given in zip(loaded, events, strict=True):
            assert found.envelope.stream == "Order-1"
            for name in ("id", "type", "version", "source", "time", "subject", "correlation_id", "causation_id"):
                assert getattr(found.envelope, name) == getattr(given.envelope, name)

    async def test_a_stream_without_events_is_empty(self, database: Database, event_store: EventStore) -> None:
        """Loading what was never appended to is no error."""
        async with database.reading() as connection:
            assert await event_store.load(connection, "Order-none") == []

    async def test_loading_after_a_version_gives_only_what_is_behind_it(
        self, database: Database, event_store: EventStore
    ) -> None:
        """A reader that has a stream's state at a version asks for the rest."""
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-1", 0, stored(1), stored(2), stored(3))])
            loaded = await event_store.load(connection, "Order-1", after_version=2)
            assert [event.version for event in loaded] == [3]
            assert await event_store.load(connection, "Order-1", after_version=3) == []

    @pytest.mark.parametrize("expected", [0, 1, 3, 7])
    async def test_another_version_than_the_expected_is_a_conflict(
        self, database: Database, event_store: EventStore, expected: int
    ) -> None:
        """Behind or ahead (a gap), the conflict tells stream, expected and actual version."""
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-1", 0, stored(), stored())])
        with pytest.raises(ConcurrencyConflict) as raised:
            async with database.transaction() as connection:
                await event_store.append(connection, [append("Order-1", expected)])
        assert (raised.value.stream, raised.value.expected, raised.value.actual) == ("Order-1", expected, 2)

    async def test_all_streams_are_appended_to_or_none(self, database: Database, event_store: EventStore) -> None:
        """One stream's conflict keeps the others' events out."""
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-2", 0)])
            with pytest.raises(ConcurrencyConflict, match="Order-2"):
                await event_store.append(connection, [append("Order-1", 0), append("Order-2", 0), append("Order-3", 0)])
        async with database.reading() as connection:
            assert await event_store.load(connection, "Order-1") == []
            assert len(await event_store.load(connection, "Order-2")) == 1
            assert await event_store.load(connection, "Order-3") == []

    async def test_after_a_conflict_the_transaction_goes_on(self, database: Database, event_store: EventStore) -> None:
        """The conflict is an answer: the same transaction can load again, append and commit."""
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-1", 0)])
        async with database.transaction() as connection:
            with pytest.raises(ConcurrencyConflict):
                await event_store.append(connection, [append("Order-1", 0)])
            version = (await event_store.load(connection, "Order-1"))[-1].version
            await event_store.append(connection, [append("Order-1", version)])
        async with database.reading() as connection:
            assert [event.version for event in await event_store.load(connection, "Order-1")] == [1, 2]

    async def test_of_concurrent_appends_at_one_version_one_wins(
        self, database: Database, event_store: EventStore
    ) -> None:
        """Eight writers, one version: the others are told the version that the winner left, and leave no event."""
        conflicts: list[ConcurrencyConflict] = []

        async def write(number: int) -> None:
            events = [stored(number), stored(number), stored(number)]
            try:
                async with database.transaction() as connection:
                    await event_store.append(connection, [append("Order-1", 0, *events[: 1 + number % 3])])
                    await anyio.sleep(0.01)  # a commit that comes late is what makes the others wait
            except ConcurrencyConflict as conflict:
                conflicts.append(conflict)

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(write, number)
        async with database.reading() as connection:
            loaded = await event_store.load(connection, "Order-1")
        assert len({event.envelope.time for event in loaded}) == 1
        assert [conflict.actual for conflict in conflicts] == [len(loaded)] * 7

    async def test_a_longer_append_than_the_winners_leaves_nothing_behind_it(
        self, database: Database, event_store: EventStore
    ) -> None:
        """What a statement inserted around a concurrent transaction's rows is taken out again, in the transaction."""
        async with anyio.create_task_group() as tasks:
            appended = anyio.Event()

            async def win() -> None:
                async with database.transaction() as connection:
                    await event_store.append(connection, [append("Order-1", 0)])
                    appended.set()
                    await anyio.sleep(0.05)

            tasks.start_soon(win)
            await appended.wait()
            async with database.transaction() as connection:
                with pytest.raises(ConcurrencyConflict) as raised:
                    await event_store.append(
                        connection, [append("Order-0", 0), append("Order-1", 0, stored(), stored(), stored())]
                    )
                assert (raised.value.stream, raised.value.actual) == ("Order-1", 1)
        async with database.reading() as connection:
            assert len(await event_store.load(connection, "Order-1")) == 1
            assert await event_store.load(connection, "Order-0") == []

    async def test_a_stream_named_twice_is_refused(self, database: Database, event_store: EventStore) -> None:
        """The caller joins a stream's events: two entries would be a conflict with itself."""
        with pytest.raises(ValueError, match="named 2 times"):
            async with database.transaction() as connection:
                await event_store.append(connection, [append("Order-1", 0), append("Order-1", 1)])

    async def test_an_event_id_is_stored_once(self, database: Database, event_store: EventStore) -> None:
        """The same id elsewhere is refused with its place; nothing was appended, and the transaction goes on."""
        taken = [append("Order-0", 0), append("Order-2", 0, stored(), stored(id="one"))]
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-1", 0, stored(), stored(id="one"))])
            with pytest.raises(
                DuplicateEventIds, match=r"'Order-2': of the ids of 2 .* 'one' is version 2 of 'Order-1'"
            ):
                await event_store.append(connection, taken)
            with pytest.raises(DuplicateEventIds, match="'two' is given more than once"):
                await event_store.append(connection, [append("Order-2", 0, stored(id="two"), stored(id="two"))])
            await event_store.append(connection, [append("Order-3", 0)])
        async with database.reading() as connection:
            versions = await event_store.versions(connection, [f"Order-{number}" for number in range(4)])
        assert versions == {"Order-0": 0, "Order-1": 2, "Order-2": 0, "Order-3": 1}

    async def test_of_concurrent_appends_of_the_same_events_one_is_a_repeat(
        self, database: Database, event_store: EventStore
    ) -> None:
        """A caller that has lost its patience tries again beside itself: the events stay, once."""
        events = [stored(number, id=f"e-{number}") for number in range(3)]
        answers: list[Appended] = []

        async def write() -> None:
            async with database.transaction() as connection:
                answers.extend(await event_store.append(connection, [append("Order-1", 0, *events)]))
                await anyio.sleep(0.05)  # a commit that comes late is what makes the others wait

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(write)
        async with database.reading() as connection:
            loaded = await event_store.load(connection, "Order-1")
        assert [event.envelope.id for event in loaded] == ["e-0", "e-1", "e-2"]
        assert sorted(answer.is_repeat for answer in answers) == [False, True, True, True]

    async def test_what_is_rolled_back_was_never_there(self, database: Database, event_store: EventStore) -> None:
        """A stream whose first append was rolled back is at version 0."""
        with pytest.raises(RuntimeError, match="no"):
            async with database.transaction() as connection:
                await event_store.append(connection, [append("Order-1", 0)])
                raise RuntimeError("no")
        async with database.transaction() as connection:
            await event_store.append(connection, [append("Order-1", 0)])

    async def test_thousands_of_events_over_many_streams_are_one_append(
        self, database: Database, event_store: EventStore
    ) -> None:
        """No limit on parameters is met."""
        async with database.transaction() as connection:
            await event_store.append(
                connection,
                [append(f"Order-{number}", 0, *(stored(n) for n in range(10))) for number in range(500)],
            )
        async with database.reading() as connection:
            assert [event.version for event in await event_store.load(connection, "Order-499")] == list(range(1, 11))
