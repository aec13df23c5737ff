"""What a live projection promises, on any database."""

from decimal import Decimal

import anyio
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.clock import SystemClock
from eventbus.database import Database, DeadLetter, DeadLetters
from eventbus.errors import CheckpointFenced, DefinitionError, ForeignLog, SchemaOutdated
from eventbus.projections import AnyProjection, Row, View, prepare_projections, projects
from eventbus.projections.row_table import RowTable
from eventbus.testing.contracts.database import MakeDatabase
from eventbus.testing.contracts.given_log import Feeder, OrdersLog
from eventbus.testing.contracts.orders import (
    CustomerTotal,
    CustomerTotals,
    OrderForgotten,
    OrderPaid,
    OrderPlaced,
    OrderSizes,
    OrderSummaries,
    OrderSummary,
    Turnover,
    placed,
    turnover,
)


async def summaries(database: Database) -> list[OrderSummary]:
    return await View(OrderSummaries, database).select()


async def letters(database: Database) -> list[DeadLetter]:
    async with database.reading() as connection:
        return await DeadLetters().list(connection)


class ProjectionsContract:
    """Tests for a database: give `database`, and `make_database`, which opens it once more at each call."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    async def prepared(self, database: Database) -> Database:
        await prepare_projections(database, [OrderSummaries, CustomerTotals, OrderSizes, Turnover], SystemClock())
        return database

    async def test_rows_and_checkpoint_move_together(self, prepared: Database) -> None:
        """A batch is applied, and the next claim goes on behind it, gaps included."""
        log = OrdersLog()
        log.append(placed("o-1"), stream="Order-o-1")
        log.append(OrderPaid(order_id="o-1"), stream="Order-o-1")
        log.append_gap()
        feeder = Feeder(log, OrderSummaries, prepared)
        await feeder.feed()
        assert [(row.order_id, row.status, row.events) for row in await summaries(prepared)] == [("o-1", "paid", 2)]
        assert (await feeder.claim(0)).next_offset == 3

    async def test_a_row_is_deleted_by_none(self, prepared: Database) -> None:
        """In a later batch than the one that wrote it."""
        log = OrdersLog()
        log.append(placed("o-1"), stream="Order-o-1")
        feeder = Feeder(log, OrderSummaries, prepared)
        await feeder.feed()
        log.append(OrderForgotten(order_id="o-1"), stream="Order-o-1")
        await feeder.feed()
        assert await summaries(prepared) == []

    @pytest.mark.parametrize("batch", [1, 100])
    async def test_an_event_that_the_relay_publishes_twice_is_applied_once(
        self, prepared: Database, batch: int
    ) -> None:
        """It comes under a new offset: its stream version tells; without a stream its id does."""
        log = OrdersLog()
        for _ in range(2):
            log.append(placed("o-1"), stream="Order-o-1", version=1)
            log.append(OrderPaid(order_id="o-1"), stream="Order-o-1", version=2)
            log.append(placed("o-2"), id="published")
        feeder = Feeder(log, OrderSummaries, prepared)
        await feeder.feed(batch)
        assert [(row.order_id, row.events) for row in await summaries(prepared)] == [("o-1", 2), ("o-2", 1)]

    async def test_the_same_stream_of_two_services_is_two_streams(self, prepared: Database) -> None:
        """Two services may have an Order-o-1 each, on one topic: neither hides the other's events."""
        log = OrdersLog()
        log.append(placed("o-1"), stream="Order-o-1", version=1)
        record = log.records(0, 0)[0]
        headers = [(name, b"another" if name == "ce_source" else value or b"") for name, value in record.headers]
        log.append_raw(record.value or b"", headers)
        await Feeder(log, OrderSummaries, prepared).feed()
        assert [row.events for row in await summaries(prepared)] == [2]

    @pytest.mark.parametrize(("projection", "attempts"), [(OrderSummaries, 1), (Turnover, 3)])
    async def test_an_event_that_fails_becomes_a_dead_letter_and_its_neighbours_are_applied(
        self, prepared: Database, projection: type[AnyProjection], attempts: int
    ) -> None:
        """In the transaction that moves the checkpoint past it, with what went wrong."""
        log = OrdersLog()
        for number in range(9):
            log.append(
                placed(f"o-{number}", total="-1" if number == 4 else "5", customer_id=f"c-{number}"),
                stream=f"O-{number}",
            )
        feeder = Feeder(log, projection, prepared)
        await feeder.feed()
        (letter,) = await letters(prepared)
        assert (letter.consumer, letter.offset, letter.attempts) == (projection.projection_name, 4, attempts)
        assert letter.handler == f"{projection.__name__}.placed"
        assert (letter.error_class, letter.error_message) == ("builtins.ValueError", "a total below zero")
        assert "raise ValueError" in letter.error_stack
        if projection is OrderSummaries:
            assert await View(OrderSummaries, prepared).count() == 8
        else:
            async with View(Turnover, prepared).reading() as snapshot:
                assert len((await snapshot.connection.execute(select(snapshot.table(turnover)))).all()) == 8
        assert (await feeder.claim(0)).next_offset == 9

    async def test_bytes_that_cannot_be_decoded_become_a_dead_letter_raw(self, prepared: Database) -> None:
        """Their neighbours are applied in the same transaction."""
        log = OrdersLog()
        log.append(placed("o-1"), stream="Order-o-1")
        log.append_raw(
            b"\xff{",
            [
                ("ce_specversion", b"1.0"),
                ("ce_id", b"x"),
                ("ce_type", OrderPlaced.message_name.encode()),
                ("ce_source", b"s"),
            ],
        )
        log.append_raw(b"no cloud event", [("other", b"\xff")])
        log.append(placed("o-2"), stream="Order-o-2")
        await Feeder(log, OrderSummaries, prepared).feed()
        found = {letter.offset: letter for letter in await letters(prepared)}
        assert {offset: letter.value for offset, letter in found.items()} == {1: b"\xff{", 2: b"no cloud event"}
        assert found[2].headers == (("other", b"\xff"),)
        assert await View(OrderSummaries, prepared).count() == 2

    async def test_a_value_that_the_table_refuses_fails_its_own_event_only(self, prepared: Database) -> None:
        """The database's error names no event: the batch is halved until one is left."""
        log = OrdersLog()
        for number in range(8):
            log.append(placed(f"o-{number}"), stream=f"Order-o-{number}")
            if number == 5:
                log.append(placed("o-bad", total="1e20"))
        await Feeder(log, OrderSizes, prepared).feed()
        assert [letter.offset for letter in await letters(prepared)] == [6]
        assert await View(OrderSizes, prepared).count() == 8

    @pytest.mark.parametrize("projection", [OrderSummaries, Turnover])
    async def test_a_table_that_is_gone_makes_no_dead_letters(
        self, prepared: Database, projection: type[AnyProjection]
    ) -> None:
        """It is no event's fault: nothing is skipped, and the view goes on when the table is back."""
        log = OrdersLog()
        log.append(placed("o-1"), stream="Order-o-1")
        (table,) = projection.tables(1)
        feeder = Feeder(log, projection, prepared)
        async with prepared.transaction() as connection:
            await connection.run_sync(table.drop)
        with pytest.raises(DBAPIError, match=table.name):
            await feeder.feed()
        assert await letters(prepared) == []
        async with prepared.transaction() as connection:
            await connection.run_sync(table.create)
        await feeder.feed()
        async with prepared.reading() as connection:
            assert len((await connection.execute(select(table))).all()) == 1

    async def test_a_sql_projection_that_writes_another_table_is_refused_and_applies_nothing(
        self, prepared: Database
    ) -> None:
        """A rebuild would do it again for every event: it is the code's fault and no event's."""

        class Mailing(Turnover, topics=["orders"], tables=[turnover], name="turnover"):
            @projects(OrderPlaced)
            async def placed(self, event: OrderPlaced, connection: AsyncConnection) -> None:
                await super().placed(event, connection)
                await connection.execute(text("UPDATE eventbus_outbox SET topic = 'mails'"))

        log = OrdersLog()
        log.append(placed("o-1"), stream="Order-o-1")
        with pytest.raises(
            DefinitionError, match="'turnover' writes the table 'eventbus_outbox', which is not in its tab"
        ):
            await Feeder(log, Mailing, prepared).feed()
        assert await letters(prepared) == []
        async with View(Turnover, prepared).reading() as snapshot:
            assert (await snapshot.connection.execute(select(snapshot.table(turnover)))).all() == []
        await Feeder(log, Turnover, prepared).feed()

    async def test_a_fenced_runner_leaves_nothing(self, prepared: Database) -> None:
        """Whoever has claimed since is the owner: the older one's transaction rolls back."""
        log = OrdersLog()
        log.append(placed("o-1"), stream="Order-o-1")
        old, new = Feeder(log, OrderSummaries, prepared), Feeder(log, OrderSummaries, prepared)
        await old.claim(0)
        await new.claim(0)
        with pytest.raises(CheckpointFenced):
            await old.feed()
        assert await summaries(prepared) == []
        await new.feed()
        assert len(await summaries(prepared)) == 1

    async def test_a_log_that_the_checkpoint_does_not_belong_to_is_foreign(self, prepared: Database) -> None:
        """Another cluster, a shorter log, a start that was cut: each with its words."""
        log = OrdersLog()
        for number in range(5):
            log.append(placed(f"o-{number}"), stream=f"Order-o-{number}")
        feeder = Feeder(log, OrderSummaries, prepared)
        await feeder.feed()
        with pytest.raises(ForeignLog, match=r"log there ends at 3.*rebuild order_summaries"):
            await feeder.runner.claim(log.log(0), 0, 3)
        with pytest.raises(ForeignLog, match="begins at 7: 2 offsets were deleted"):
            await feeder.runner.claim(log.log(0), 7, 9)
        with pytest.raises(ForeignLog, match="cluster"):
            await feeder.runner.claim(OrdersLog(cluster_id="another").log(0), 0, 9)

    async def test_two_owners_of_two_partitions_lose_no_update_of_the_same_rows(
        self, prepared: Database, make_database: MakeDatabase
    ) -> None:
        """Both read, add and write the same rows, missing ones too, at the same time."""
        log = OrdersLog(partitions=2)
        for number in range(120):
            log.append(
                placed(f"o-{number}", total="1", customer_id=f"c-{number // 2 % 5}"), number % 2, stream=f"O-{number}"
            )
        other = make_database()
        feeders = [Feeder(log, CustomerTotals, prepared), Feeder(log, CustomerTotals, other)]
        async with anyio.create_task_group() as group:
            for partition, feeder in enumerate(feeders):
                group.start_soon(feeder.feed, 4, [partition])
        await other.aclose()
        rows: list[CustomerTotal] = await View(CustomerTotals, prepared).select()
        assert [(row.customer_id, row.orders, row.total) for row in rows] == [
            (f"c-{n}", 24, Decimal(24)) for n in range(5)
        ]

    async def test_a_row_that_is_not_there_yet_is_locked_too(
        self, prepared: Database, make_database: MakeDatabase
    ) -> None:
        """The second of two owners waits, and then sees what the first one has written."""
        table = RowTable(CustomerTotals.shape(), CustomerTotals.tables(1)[0])
        written = CustomerTotal(customer_id="c-1", orders=1, total=Decimal(5))
        other = make_database()
        seen: list[Row | None] = []

        async def second() -> None:
            async with other.transaction() as connection:
                seen.append((await table.read_for_update(connection, [("c-1",)]))["c-1",])

        async with anyio.create_task_group() as group, prepared.transaction() as connection:
            before = await table.read_for_update(connection, [("c-1",)])
            group.start_soon(second)
            await anyio.sleep(0.2)
            assert seen == []
            await table.write(connection, before, {("c-1",): written})
        await other.aclose()
        assert seen == [written]

    async def test_a_first_start_makes_the_tables_and_a_second_leaves_them(
        self, prepared: Database, make_database: MakeDatabase
    ) -> None:
        """Several processes may start at once."""
        log = OrdersLog()
        log.append(placed("o-1"), stream="Order-o-1")
        await Feeder(log, OrderSummaries, prepared).feed()
        others = [make_database() for _ in range(3)]
        async with anyio.create_task_group() as group:
            for other in others:
                group.start_soon(prepare_projections, other, [OrderSummaries], SystemClock())
        for other in others:
            await other.aclose()
        assert len(await summaries(prepared)) == 1

    async def test_code_of_another_version_reads_and_applies_nothing_and_names_the_command_that_helps(
        self,
        prepared: Database,
    ) -> None:
        """The tables of the release before stay as they are, for it and nobody else; the newer one starts as well."""

        class Newer(OrderSummaries, topics=["orders"], name="order_summaries", version=2):
            pass

        await prepare_projections(prepared, [Newer], SystemClock())
        log = OrdersLog()
        log.append(placed("o-1"), stream="Order-o-1")
        with pytest.raises(SchemaOutdated, match="eventbus projections rebuild order_summaries"):
            await Feeder(log, Newer, prepared).claim(0)
        with pytest.raises(SchemaOutdated, match=r"version 1 is live \(generation 1\), this code is version 2"):
            await View(Newer, prepared).get("o-1")
        assert await summaries(prepared) == []

    async def test_tables_that_changed_without_a_new_version_are_refused(self, prepared: Database) -> None:
        """The message says which number to write."""

        class Smaller(CustomerTotals, topics=["orders"], name="order_summaries"):
            pass

        with pytest.raises(SchemaOutdated, match="raise it to 2"):
            await prepare_projections(prepared, [Smaller], SystemClock())
