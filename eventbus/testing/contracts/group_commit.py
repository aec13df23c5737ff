"""
What transactions promise that begin lazily, and are committed in groups.
"""

import anyio
import pytest
from sqlalchemy import text

from eventbus.database import CommandInbox, Database
from eventbus.errors import ConcurrencyConflict, DatabaseUnavailable, DuplicateEventIds
from eventbus.store import CommandRepeated, EventStore, Expect, Transactions
from eventbus.testing.contracts.database import MakeDatabase
from eventbus.testing.contracts.unit_of_work import Mailed, Placed, metadata, record, versions, waiting


class GroupCommitContract:
    """
    Tests for an implementation: give `database`, `make_database`, which opens it once more at each call, and, where
    they are not the framework's own, `transactions`.
    """

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def transactions(self, database: Database) -> Transactions:
        return Transactions(database, "shop")

    async def test_a_lazy_transaction_writes_what_an_eager_one_does(
        self, database: Database, transactions: Transactions
    ) -> None:
        """Events, outbox rows in their order, and the relay hears of it."""
        heard: list[str] = []
        transactions.when_committed(lambda: heard.append("commit"))
        async with transactions.begin(lazily=True) as transaction:
            unit = transaction.unit_of_work(metadata())
            record(unit, "Order-o-1", 0, 1, 2)
            record(unit, "Order-o-2", 0, 3)
            unit.publish(Mailed(to="x"), topic="mails", key="c-1")
            await unit.complete()
            assert [event.version for event in await transaction.load("Order-o-1")] == [1, 2]
        async with database.reading() as connection:
            assert await versions(connection, "Order-o-1") == [1, 2]
            assert await versions(connection, "Order-o-2") == [1]
            rows = await waiting(database)
        assert [row.id for row in rows] == unit.event_ids
        assert dict(rows[0].headers)["ce_stream"] == "Order-o-1"
        assert heard == ["commit"]

    async def test_streams_that_are_loaded_at_the_same_time_are_what_each_is_alone(
        self, database: Database, transactions: Transactions
    ) -> None:
        """Whole events and the histories that states are made of, of many streams of different lengths, and of none."""
        async with transactions.begin() as transaction:
            unit = transaction.unit_of_work(metadata())
            for stream in range(20):
                record(unit, f"Order-{stream}", 0, *range(1, stream + 2))
            await unit.complete()
        loaded: dict[int, list[int]] = {}
        histories: dict[int, list[object]] = {}

        async def load(stream: int) -> None:
            async with transactions.begin(lazily=True) as transaction:
                unit = transaction.unit_of_work(metadata())
                loaded[stream] = [event.version for event in await unit.load(f"Order-{stream}", after_version=1)]
                histories[stream] = [tuple(row) for row in await unit.history(f"Order-{stream}", after_version=1)]

        async with anyio.create_task_group() as tasks:
            for stream in range(21):
                tasks.start_soon(load, stream)
        async with database.reading() as connection:
            for stream in range(21):
                alone = await EventStore().load(connection, f"Order-{stream}", after_version=1)
                assert len(alone) == (stream if stream < 20 else 0)
                assert loaded[stream] == [event.version for event in alone]
                assert histories[stream] == [(event.type, event.type_version, event.data) for event in alone]

    async def test_without_being_opened_it_has_no_connection(
        self, database: Database, transactions: Transactions
    ) -> None:
        """The error says how to get one; opened, what is done on it belongs to the same transaction."""
        async with database.transaction() as connection:
            await connection.execute(text("CREATE TABLE notes (text TEXT)"))
        async with transactions.begin(lazily=True) as transaction:
            unit = transaction.unit_of_work(metadata())
            with pytest.raises(RuntimeError, match="take the UnitOfWork as a parameter"):
                _ = unit.connection
            await unit.open()
            await unit.connection.execute(text("INSERT INTO notes VALUES ('kept')"))
            record(unit, "Order-o-1", 0, 1)
            await unit.complete()
        with pytest.raises(ConcurrencyConflict):
            async with transactions.begin(lazily=True) as transaction:
                unit = transaction.unit_of_work(metadata())
                await unit.open()
                await unit.connection.execute(text("INSERT INTO notes VALUES ('lost')"))
                record(unit, "Order-o-1", 0, 1)
                await unit.complete()
        async with database.reading() as connection:
            assert (await connection.execute(text("SELECT text FROM notes"))).scalars().all() == ["kept"]

    async def test_what_raises_writes_nothing(self, database: Database, transactions: Transactions) -> None:
        """Nor does a transaction in which nothing was recorded."""
        with pytest.raises(RuntimeError, match="no"):
            async with transactions.begin(lazily=True) as transaction:
                unit = transaction.unit_of_work(metadata())
                record(unit, "Order-o-1", 0, 1)
                await unit.complete()
                raise RuntimeError("no")
        async with transactions.begin(lazily=True) as transaction:
            await transaction.unit_of_work(metadata()).complete()
        async with database.reading() as connection:
            assert await versions(connection, "Order-o-1") == []
            assert await waiting(database) == []

    async def test_a_conflict_fails_its_unit_alone(self, database: Database, transactions: Transactions) -> None:
        """Forty units at the same time, five of them wrong: the others are committed, outbox rows and all."""
        conflicts: list[ConcurrencyConflict] = []

        async def place(number: int) -> None:
            try:
                async with transactions.begin(lazily=True) as transaction:
                    unit = transaction.unit_of_work(metadata(f"command-{number}"))
                    record(unit, f"Order-{number}", 0, number)
                    record(unit, f"Note-{number}", 7 if number % 8 == 0 else 0, number)
                    await unit.complete()
            except ConcurrencyConflict as conflict:
                conflicts.append(conflict)

        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(place, number)
        assert sorted(conflict.stream for conflict in conflicts) == sorted(f"Note-{n}" for n in range(0, 40, 8))
        assert {(conflict.expected, conflict.actual) for conflict in conflicts} == {(7, 0)}
        async with database.reading() as connection:
            for number in range(40):
                expected = [] if number % 8 == 0 else [1]
                assert await versions(connection, f"Order-{number}") == expected
            assert len(await waiting(database)) == 70

    async def test_of_units_at_one_version_of_a_stream_one_wins(
        self, database: Database, transactions: Transactions
    ) -> None:
        """Waiting in the same group or in two: the others are told the winner's version."""
        conflicts: list[ConcurrencyConflict] = []

        async def place(number: int) -> None:
            try:
                async with transactions.begin(lazily=True) as transaction:
                    unit = transaction.unit_of_work(metadata())
                    record(unit, "Order-o-1", 0, number, number)
                    await unit.complete()
            except ConcurrencyConflict as conflict:
                conflicts.append(conflict)

        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(place, number)
        assert [conflict.actual for conflict in conflicts] == [2] * 11
        async with database.reading() as connection:
            assert await versions(connection, "Order-o-1") == [1, 2]
            assert len(await waiting(database)) == 2

    async def test_another_process_in_between_is_a_conflict_of_its_streams_alone(
        self, database: Database, make_database: MakeDatabase, transactions: Transactions
    ) -> None:
        """Its open transaction is waited for; when it commits, whoever decided on the version before it is refused."""
        other = make_database()
        outcomes: dict[str, str] = {}

        async def place(id: str) -> None:
            try:
                async with transactions.begin(lazily=True) as transaction:
                    unit = transaction.unit_of_work(metadata())
                    record(unit, f"Order-{id}", 0, 1)
                    await unit.complete()
                outcomes[id] = "committed"
            except ConcurrencyConflict as conflict:
                outcomes[id] = f"is {conflict.actual}"

        async with anyio.create_task_group() as tasks, Transactions(other, "shop").begin() as transaction:
            unit = transaction.unit_of_work(metadata())
            record(unit, "Order-hot", 0, 9)
            await unit.complete()
            await transaction.flush()
            for id in ("a", "hot", "b"):
                tasks.start_soon(place, id)
            await anyio.sleep(0.1)
        await other.aclose()
        assert outcomes == {"a": "committed", "hot": "is 1", "b": "committed"}
        assert len(await waiting(database)) == 3

    async def test_a_unit_that_cannot_be_written_fails_alone(
        self, database: Database, transactions: Transactions
    ) -> None:
        """An id that is stored already, in another stream: its group goes on without it."""
        failed: list[str] = []

        async def place(number: int, event_id: str) -> None:
            try:
                async with transactions.begin(lazily=True) as transaction:
                    unit = transaction.unit_of_work(metadata())
                    event = Placed(number=number)
                    unit.append(
                        f"Order-{number}", 0, [event], topic=None, key=str(number), category="Order", ids=[event_id]
                    )
                    await unit.complete()
            except Exception as error:
                failed.append(type(error).__name__)

        await place(0, "taken")
        async with anyio.create_task_group() as tasks:
            for number in range(1, 9):
                tasks.start_soon(place, number, "taken" if number == 4 else f"id-{number}")
        assert failed == ["DuplicateEventIds"]
        async with database.reading() as connection:
            assert [len(await versions(connection, f"Order-{number}")) for number in range(9)] == [
                1, 1, 1, 1, 0, 1, 1, 1, 1,
            ]  # fmt: skip

    @pytest.mark.parametrize("lazily", [True, False])
    async def test_half_a_repeat_under_given_ids_writes_nothing(
        self, database: Database, transactions: Transactions, lazily: bool
    ) -> None:
        """At any version, too: the error has the place of the id that is taken."""
        async with transactions.begin() as transaction:
            unit = transaction.unit_of_work(metadata())
            unit.append("Order-1", 0, [Placed(number=1)], topic="orders", key="1", category="Order", ids=["a"])
            await unit.complete()
        with pytest.raises(DuplicateEventIds, match="'a' is version 1 of 'Order-1'"):
            async with transactions.begin(lazily=lazily) as transaction:
                unit = transaction.unit_of_work(metadata())
                events = [Placed(number=1), Placed(number=2)]
                unit.append("Order-1", Expect.ANY, events, topic="orders", key="1", category="Order", ids=["a", "b"])
                await unit.complete()
        async with database.reading() as connection:
            assert await versions(connection, "Order-1") == [1]
            assert [row.id for row in await waiting(database)] == ["a"]

    async def test_a_repeat_under_given_ids_is_passed_over(
        self, database: Database, transactions: Transactions
    ) -> None:
        """Neither events nor outbox rows are written again."""
        for _ in range(2):
            async with transactions.begin(lazily=True) as transaction:
                unit = transaction.unit_of_work(metadata())
                events = [Placed(number=1), Placed(number=2)]
                unit.append("Order-1", 0, events, topic="orders", key="1", category="Order", ids=["a", "b"])
                await unit.complete()
        async with database.reading() as connection:
            assert await versions(connection, "Order-1") == [1, 2]
            assert [row.id for row in await waiting(database)] == ["a", "b"]

    @pytest.mark.parametrize("lazily", [True, False])
    async def test_an_append_at_any_version_is_published_with_the_version_that_it_got(
        self, database: Database, transactions: Transactions, lazily: bool
    ) -> None:
        """Also several in one unit, which loads them with versions before they are written."""
        async with transactions.begin(lazily=lazily) as transaction:
            unit = transaction.unit_of_work(metadata())
            record(unit, "Order-1", 0, 1)
            await unit.complete()
        async with transactions.begin(lazily=lazily) as transaction:
            unit = transaction.unit_of_work(metadata())
            for number in (2, 3):
                event = Placed(number=number)
                unit.append("Order-1", Expect.ANY, [event], topic="orders", key="1", category="Order")
            assert [event.version for event in await unit.load("Order-1")] == [1, 2, 3]
            await unit.complete()
        async with database.reading() as connection:
            stored = await EventStore().load(connection, "Order-1")
            rows = await waiting(database)
        assert [event.version for event in stored] == [row.stream_version for row in rows] == [1, 2, 3]
        assert [dict(row.headers)["ce_streamversion"] for row in rows] == ["1", "2", "3"]
        assert [row.id for row in rows] == [event.envelope.id for event in stored]

    @pytest.mark.parametrize("lazily", [True, False])
    async def test_a_command_is_recorded_once(
        self, database: Database, transactions: Transactions, lazily: bool
    ) -> None:
        """Of many at the same time one writes; the others are told its receipt, and have written nothing."""
        repeats: list[CommandRepeated] = []

        async def place(number: int) -> None:
            try:
                async with transactions.begin(lazily=lazily) as transaction:
                    unit = transaction.unit_of_work(metadata())
                    record(unit, f"Order-{number}", 0, number)
                    await unit.complete()
                    transaction.remember_command("Place:key", f'"{number}"')
                    assert await transaction.find_command("Place:key") is not None
            except CommandRepeated as repeated:
                repeats.append(repeated)

        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(place, number)
        async with database.reading() as connection:
            first = await CommandInbox().find(connection, "Place:key")
            assert await connection.scalar(text("SELECT count(*) FROM eventbus_events")) == 1
        assert first is not None
        assert [(repeated.command_id, repeated.receipt) for repeated in repeats] == [("Place:key", first)] * 5
        async with transactions.begin(lazily=True) as transaction:
            assert await transaction.find_command("Place:key") == first
            assert await transaction.find_command("Place:other") is None

    async def test_who_is_cancelled_while_waiting_has_written_all_or_nothing(
        self, database: Database, transactions: Transactions
    ) -> None:
        """Whatever is there is whole, and who was not cancelled is not disturbed."""
        done: list[int] = []

        async def place(number: int) -> None:
            async with transactions.begin(lazily=True) as transaction:
                unit = transaction.unit_of_work(metadata())
                record(unit, f"Order-{number}", 0, number, number)
                await unit.complete()
            done.append(number)

        async with anyio.create_task_group() as staying:
            for round_ in range(10):
                async with anyio.create_task_group() as leaving:
                    for number in range(round_ * 100, round_ * 100 + 8):
                        leaving.start_soon(place, number)
                    staying.start_soon(place, round_ * 100 + 50)
                    await anyio.sleep(round_ * 0.0005)
                    leaving.cancel_scope.cancel()
        async with database.reading() as connection:
            for number in range(1000):
                found = await versions(connection, f"Order-{number}") if number % 100 < 8 or number in done else []
                assert found in ([], [1, 2])
                assert found == [1, 2] or number not in done
        assert {number for number in done if number % 100 == 50} == set(range(50, 1000, 100))

    async def test_an_absent_database_is_everybodys_error(self, database: Database, transactions: Transactions) -> None:
        """Each waiting unit hears of it by an exception of its own."""
        async with database.transaction() as connection:
            await connection.execute(text("ALTER TABLE eventbus_outbox RENAME TO elsewhere"))
        raised: list[Exception] = []

        async def place(number: int) -> None:
            try:
                async with transactions.begin(lazily=True) as transaction:
                    unit = transaction.unit_of_work(metadata())
                    record(unit, f"Order-{number}", 0, number)
                    await unit.complete()
            except Exception as error:
                raised.append(error)

        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(place, number)
        assert len({id(error) for error in raised}) == 3
        assert not any(isinstance(error, DatabaseUnavailable) for error in raised)
        async with database.reading() as connection:
            assert await versions(connection, "Order-1") == []
