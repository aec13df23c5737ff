"""
What a unit of work promises, on any database.
"""

from datetime import UTC, datetime

import anyio
import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from eventbus.database import Database, Outbox, OutboxRow
from eventbus.errors import ConcurrencyConflict
from eventbus.messages import Event, Metadata
from eventbus.store import EventStore, Transaction, Transactions, UnitOfWork
from eventbus.transport.partitioning import SLOTS

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Placed(Event):
    number: int


class Mailed(Event, version=3):
    to: str


class Tables(DeclarativeBase):
    pass


class Customer(Tables):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def metadata(id: str = "command-1", *, correlation_id: str | None = None) -> Metadata:
    """The message that is being handled."""
    return Metadata(id, "Place", 1, "shop", datetime.now(UTC), correlation_id=correlation_id, traceparent=TRACE)


def record(unit: UnitOfWork, stream: str, expected_version: int, *numbers: int, topic: str | None = "orders") -> None:
    """Append as a repository does."""
    events = [Placed(number=number) for number in numbers]
    key = stream.partition("-")[2]
    unit.append(stream, expected_version, events, topic=topic, key=key, category=stream.partition("-")[0])


async def versions(connection: AsyncConnection, stream: str) -> list[int]:
    """The versions that are stored."""
    return [event.version for event in await EventStore().load(connection, stream)]


async def waiting(database: Database) -> list[OutboxRow]:
    """The rows of all slots, in the order in which they were added."""
    rows = [row for slot in range(SLOTS) for row in await Outbox().claim(database, slot, 1000)]
    return sorted(rows, key=lambda row: row.sequence)


class UnitOfWorkContract:
    """Tests for an implementation: give `database` and, where it is not the framework's own, `transactions`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def transactions(self, database: Database) -> Transactions:
        return Transactions(database, "shop")

    @pytest.fixture
    async def customers(self, database: Database) -> None:
        """A table of the service's own."""
        async with database.transaction() as connection:
            await connection.run_sync(Tables.metadata.create_all)

    async def test_events_and_outbox_rows_are_written_together(
        self, database: Database, transactions: Transactions
    ) -> None:
        """One row an event, with the columns that the log and Debezium need, and the chain of causes."""
        async with transactions.begin() as transaction:
            unit = transaction.unit_of_work(metadata(correlation_id="request-1"))
            record(unit, "Order-o-1", 0, 1, 2)
            mailed = unit.publish(Mailed(to="x"), topic="mails", key="c-1")
            await unit.complete()
        async with database.reading() as connection:
            stored = await EventStore().load(connection, "Order-o-1")
            rows = await waiting(database)
        assert [event.data for event in stored] == [b'{"number":1}', b'{"number":2}']
        assert [row.id for row in rows] == unit.event_ids == [*(event.envelope.id for event in stored), mailed]
        first, _, last = rows
        assert (first.aggregatetype, first.aggregateid, first.type) == ("Order", "o-1", "Placed")
        assert (first.topic, first.key, first.stream_version, first.payload) == ("orders", "o-1", 1, b'{"number":1}')
        assert (last.aggregatetype, last.aggregateid, last.stream_version) == ("mails", "c-1", None)
        for row in rows:
            headers = dict(row.headers)
            assert (headers["ce_id"], headers["ce_source"], headers["traceparent"]) == (row.id, "shop", TRACE)
            assert (headers["ce_correlationid"], headers["ce_causationid"]) == ("request-1", "command-1")
        assert dict(last.headers)["ce_eventversion"] == "3"
        assert dict(first.headers)["ce_stream"] == "Order-o-1"

    async def test_the_first_message_begins_the_conversation(self, transactions: Transactions) -> None:
        """Without a correlation id of its own, the message's id is what its events are correlated by."""
        async with transactions.begin() as transaction:
            unit = transaction.unit_of_work(metadata("command-9"))
            record(unit, "Order-o-1", 0, 1)
            await unit.complete()
            envelope = (await transaction.load("Order-o-1"))[0].envelope
        assert (envelope.correlation_id, envelope.causation_id) == ("command-9", "command-9")

    async def test_an_event_without_a_topic_is_stored_and_not_announced(
        self, database: Database, transactions: Transactions
    ) -> None:
        """An aggregate may keep its events to itself."""
        async with transactions.begin() as transaction:
            unit = transaction.unit_of_work(metadata())
            record(unit, "Note-1", 0, 1, topic=None)
            await unit.complete()
        async with database.reading() as connection:
            assert await versions(connection, "Note-1") == [1]
            assert await waiting(database) == []

    async def test_a_unit_sees_what_has_not_been_written_yet(
        self, database: Database, transactions: Transactions
    ) -> None:
        """Its own appends, and those of units that completed before it in the transaction, behind what is stored."""
        async with transactions.begin() as transaction:
            unit = transaction.unit_of_work(metadata())
            record(unit, "Order-o-1", 0, 1)
            await unit.complete()
        async with transactions.begin() as transaction:
            first = transaction.unit_of_work(metadata("first"))
            record(first, "Order-o-1", 1, 2, 3)
            assert [event.version for event in await first.load("Order-o-1")] == [1, 2, 3]
            await first.complete()
            second = transaction.unit_of_work(metadata("second"))
            assert [event.version for event in await second.load("Order-o-1")] == [1, 2, 3]
            assert [event.version for event in await second.load("Order-o-1", after_version=2)] == [3]
            record(second, "Order-o-1", 3, 4)
            assert [event.version for event in await second.load("Order-o-1", after_version=3)] == [4]
            await second.complete()
        async with database.reading() as connection:
            assert await versions(connection, "Order-o-1") == [1, 2, 3, 4]

    async def test_a_unit_that_fails_is_dropped_and_the_others_stay(
        self, database: Database, transactions: Transactions
    ) -> None:
        """What it appended and published is gone; its neighbours in the batch do not see it."""
        async with transactions.begin() as transaction:
            failed = transaction.unit_of_work(metadata("failed"))
            record(failed, "Order-o-1", 0, 1)
            await failed.close()
            unit = transaction.unit_of_work(metadata())
            assert await unit.load("Order-o-1") == []
            record(unit, "Order-o-1", 0, 2)
            await unit.complete()
        async with database.reading() as connection:
            assert [event.data for event in await EventStore().load(connection, "Order-o-1")] == [b'{"number":2}']

    async def test_a_rolled_back_transaction_leaves_nothing(
        self, database: Database, transactions: Transactions, customers: None
    ) -> None:
        """No event, no outbox row, no row of the service's own table."""
        with pytest.raises(RuntimeError, match="no"):
            async with transactions.begin() as transaction:
                unit = transaction.unit_of_work(metadata())
                record(unit, "Order-o-1", 0, 1)
                unit.session.add(Customer(id=1, name="c"))
                await unit.connection.execute(text("INSERT INTO customers VALUES (2, 'd')"))
                await unit.complete()
                await transaction.flush()
                raise RuntimeError("no")
        async with database.reading() as connection:
            assert await versions(connection, "Order-o-1") == []
            assert await waiting(database) == []
            assert await connection.scalar(text("SELECT count(*) FROM customers")) == 0

    async def test_the_session_is_flushed_and_committed_with_the_events(
        self, database: Database, transactions: Transactions, customers: None
    ) -> None:
        """A handler adds an object and returns."""
        async with transactions.begin() as transaction:
            unit = transaction.unit_of_work(metadata())
            unit.session.add(Customer(id=1, name="c"))
            await unit.complete()
        async with database.reading() as connection:
            assert await connection.scalar(text("SELECT name FROM customers WHERE id = 1")) == "c"

    async def test_a_handlers_commit_of_its_session_commits_nothing(
        self, database: Database, transactions: Transactions, customers: None
    ) -> None:
        """Committing is the framework's: what fails behind the call takes the session's rows along."""
        with pytest.raises(RuntimeError, match="no"):
            async with transactions.begin() as transaction:
                unit = transaction.unit_of_work(metadata())
                unit.session.add(Customer(id=1, name="c"))
                await unit.session.commit()
                raise RuntimeError("no")
        async with database.reading() as connection:
            assert await connection.scalar(text("SELECT count(*) FROM customers")) == 0

    async def test_somebody_elses_append_is_a_conflict_at_the_end(
        self, database: Database, transactions: Transactions
    ) -> None:
        """The unit was decided on a version that is no longer the last: all of the transaction is rolled back."""

        async def place(transaction: Transaction, stream: str, expected_version: int) -> None:
            unit = transaction.unit_of_work(metadata())
            record(unit, stream, expected_version, 1)
            await unit.complete()

        async with transactions.begin() as transaction:
            await place(transaction, "Order-o-1", 0)
        with pytest.raises(ConcurrencyConflict) as raised:
            async with transactions.begin() as transaction:
                await place(transaction, "Order-o-2", 0)
                await place(transaction, "Order-o-1", 0)
        assert (raised.value.stream, raised.value.expected, raised.value.actual) == ("Order-o-1", 0, 1)
        async with database.reading() as connection:
            assert await versions(connection, "Order-o-2") == []

    async def test_two_units_of_a_transaction_conflict_with_each_other(self, transactions: Transactions) -> None:
        """Whoever completes second has decided on a version that the first has moved; nothing of it is taken."""
        async with transactions.begin() as transaction:
            first, second = transaction.unit_of_work(metadata("a")), transaction.unit_of_work(metadata("b"))
            for unit in (first, second):
                record(unit, f"Order-{unit.metadata.id}", 0, 1)
                record(unit, "Order-o-1", 0, 1)
            await first.complete()
            with pytest.raises(ConcurrencyConflict, match="Order-o-1"):
                await second.complete()
            assert await transaction.load("Order-b") == []

    async def test_a_unit_appends_at_the_version_that_it_has_reached(self, transactions: Transactions) -> None:
        """A second append to a stream goes on where the first ended."""
        async with transactions.begin() as transaction:
            unit = transaction.unit_of_work(metadata())
            record(unit, "Order-o-1", 0, 1)
            with pytest.raises(ConcurrencyConflict, match="expected version 0, is 1"):
                record(unit, "Order-o-1", 0, 2)
            record(unit, "Order-o-1", 1, 2)
            await unit.complete()

    async def test_callbacks_are_the_last_to_append(self, database: Database, transactions: Transactions) -> None:
        """They run when the handler has returned, once, and what they append counts."""
        async with transactions.begin() as transaction:
            unit = transaction.unit_of_work(metadata())
            unit.before_complete(lambda: record(unit, "Order-o-1", 0, 1))
            await unit.complete()
            with pytest.raises(RuntimeError, match="command-1 is over"):
                unit.publish(Mailed(to="x"), topic="mails", key=None)
            with pytest.raises(RuntimeError, match="over"):
                await unit.complete()
        async with database.reading() as connection:
            assert await versions(connection, "Order-o-1") == [1]

    async def test_listeners_hear_of_commits_that_the_relay_has_work_from(self, transactions: Transactions) -> None:
        """After the commit, and neither for a rollback nor for a transaction without anything for the log."""
        heard: list[str] = []
        transactions.when_committed(lambda: heard.append("commit"))
        async with transactions.begin() as transaction:
            unit = transaction.unit_of_work(metadata())
            record(unit, "Note-1", 0, 1, topic=None)
            await unit.complete()
        with pytest.raises(RuntimeError, match="no"):
            async with transactions.begin() as transaction:
                unit = transaction.unit_of_work(metadata())
                record(unit, "Order-o-1", 0, 1)
                await unit.complete()
                raise RuntimeError("no")
        assert heard == []
        async with transactions.begin() as transaction:
            unit = transaction.unit_of_work(metadata())
            record(unit, "Order-o-1", 0, 1)
            await unit.complete()
            await transaction.flush()
            assert heard == []
        assert heard == ["commit"]

    async def test_a_batch_of_units_is_written_with_two_statements(self, transactions: Transactions) -> None:
        """However many messages, streams and events there are."""
        statements: list[str] = []
        async with transactions.begin() as transaction:
            for number in range(200):
                unit = transaction.unit_of_work(metadata(f"command-{number}"))
                record(unit, f"Order-{number}", 0, 1, 2)
                await unit.complete()

            def note(*arguments: object) -> None:
                statements.append(str(arguments[2]))

            sqlalchemy_event.listen(transaction.connection.sync_connection, "before_cursor_execute", note)
            await transaction.flush()
        assert len(statements) <= 2

    async def test_a_cancelled_transaction_leaves_nothing(self, database: Database, transactions: Transactions) -> None:
        """A caller that goes away in the middle is a rollback, and the next one finds the database free."""
        with anyio.move_on_after(0.02):
            async with transactions.begin() as transaction:
                unit = transaction.unit_of_work(metadata())
                record(unit, "Order-o-1", 0, 1)
                await unit.complete()
                await transaction.flush()
                await anyio.sleep_forever()
        async with transactions.begin() as transaction:
            assert await transaction.load("Order-o-1") == []
