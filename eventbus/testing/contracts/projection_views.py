"""What views promise, on any database."""

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum

import anyio
import pytest
from pydantic import BaseModel
from sqlalchemy import select

from eventbus.clock import SystemClock
from eventbus.database import Database
from eventbus.database.tables import outbox, published
from eventbus.errors import NotYetApplied, SchemaOutdated
from eventbus.messages import Event, Receipt
from eventbus.projections import (
    Row,
    RowProjection,
    View,
    prepare_projections,
    projects,
    wait_until_applied,
)
from eventbus.projections.row_table import RowTable
from eventbus.testing.contracts.given_log import Feeder, OrdersLog
from eventbus.testing.contracts.orders import OrderPlaced, OrderSummaries, Turnover, placed, turnover


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: str
    price: Decimal


class Thing(Row, key=("kind", "number")):
    kind: str
    number: int
    price: Decimal
    colour: Colour
    parts: list[Part]
    seen_at: datetime
    note: str | None = None


class ThingSeen(Event):
    kind: str
    number: int


class Things(RowProjection[Thing], topics=["things"]):
    @projects(ThingSeen)
    def seen(self, row: Thing | None, event: ThingSeen) -> Thing | None:
        return row


def thing(kind: str, number: int, price: str, colour: Colour = Colour.RED, note: str | None = None) -> Thing:
    return Thing(
        kind=kind,
        number=number,
        price=Decimal(price),
        colour=colour,
        parts=[Part(name="wheel", price=Decimal("0.10"))],
        seen_at=datetime(2026, 1, 1, 12, number, 0, 1, UTC),
        note=note,
    )


THINGS = [
    thing("a", 1, "9.50"),
    thing("a", 2, "10.00", Colour.BLUE),
    thing("b", 1, "100", note="large"),
    thing("b", 2, "-1"),
]


class ViewsContract:
    """Tests for a database: give `database`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    async def view(self, database: Database) -> View[Things]:
        await prepare_projections(database, [Things], SystemClock())
        shape = Things.shape()
        rows = {shape.key(row): row for row in THINGS}
        async with database.transaction() as connection:
            await RowTable(shape, Things.tables(1)[0]).write(connection, dict.fromkeys(rows), rows)
        return View(Things, database)

    async def test_a_row_comes_back_as_it_went_in(self, view: View[Things]) -> None:
        """Decimals with their digits, moments with their zone, enums, nested models and None."""
        assert await view.get(("a", 1)) == THINGS[0]
        assert str((await view.select(kind="a", number=2))[0].price) == "10.00"
        assert await view.get(("c", 1)) is None

    async def test_rows_are_selected_by_equality_and_by_expressions(self, view: View[Things]) -> None:
        """Both at once mean both."""
        assert await view.select(kind="a", colour=Colour.BLUE) == [THINGS[1]]
        assert await view.select(note=None, kind="b") == [THINGS[3]]
        assert await view.select(view.columns.number > 1, kind="b") == [THINGS[3]]
        assert await view.select(view.columns.seen_at >= THINGS[1].seen_at, kind="a") == [THINGS[1]]
        assert await view.count() == 4
        assert await view.count(view.columns.kind.in_(["a", "c"])) == 2

    async def test_decimals_are_compared_and_ordered_as_numbers(self, view: View[Things]) -> None:
        """On SQLite, too, where they are kept as text: 9.50 is less than 10.00 there."""
        assert [row.price for row in await view.select(order_by="price")] == [Decimal(-1), Decimal("9.5"), 10, 100]
        assert [row.price for row in await view.select(order_by="-price", limit=2)] == [100, 10]
        assert await view.count(view.columns.price > Decimal("9.75")) == 2
        assert await view.count(price=Decimal(10)) == 1

    async def test_without_an_order_the_key_decides(self, view: View[Things]) -> None:
        """And pages do not overlap."""
        assert await view.select() == THINGS
        assert await view.select(limit=2) + await view.select(limit=2, offset=2) == THINGS
        assert await view.select(order_by=["-kind", "number"]) == THINGS[2:] + THINGS[:2]

    async def test_a_field_that_is_not_there_is_named(self, view: View[Things]) -> None:
        """With those that are."""
        with pytest.raises(TypeError, match="Thing has no field 'colur'; it has kind, number"):
            await view.select(colur="red")
        with pytest.raises(TypeError, match="no field '-prise' to order by"):
            await view.select(order_by="-prise")
        with pytest.raises(TypeError, match=r"the key of Thing is \('kind', 'number'\), not 'a'"):
            await view.get("a")

    async def test_a_view_of_a_projection_that_never_started_says_so(self, database: Database) -> None:
        """The tables are made at the service's first start."""
        with pytest.raises(SchemaOutdated, match="'things' has no tables here yet"):
            await View(Things, database).count()

    async def test_a_sql_projection_is_read_in_a_snapshot(self, database: Database) -> None:
        """With SQLAlchemy, from the live generation's tables."""
        await prepare_projections(database, [Turnover], SystemClock())
        log = OrdersLog()
        for number in range(3):
            log.append(placed(f"o-{number}"), stream=f"Order-o-{number}")
        await Feeder(log, Turnover, database).feed()
        async with View(Turnover, database).reading() as snapshot:
            rows = (await snapshot.connection.execute(select(snapshot.table(turnover)))).all()
            assert [tuple(row) for row in rows] == [("c-1", 3)]
        with pytest.raises(TypeError, match="Turnover has no rows"):
            await View(Turnover, database).get("c-1")  # type: ignore[misc]

    async def test_waiting_for_a_receipt_ends_when_the_view_has_applied_its_events(self, database: Database) -> None:
        """Published first, then applied; who is behind is said when time is up."""
        await prepare_projections(database, [OrderSummaries], SystemClock())
        log = OrdersLog()
        feeder = Feeder(log, OrderSummaries, database)
        event_id = log.append(placed("o-1"), stream="Order-o-1")
        receipt = Receipt(command_id="c", event_ids=(event_id,))
        now = datetime.now(UTC)
        async with database.transaction() as connection:
            await connection.execute(
                outbox.insert().values(
                    id=event_id,
                    aggregatetype="Order",
                    aggregateid="o-1",
                    type=OrderPlaced.message_name,
                    payload=b"",
                    topic="orders",
                    headers="[]",
                    slot=0,
                    created_at=now,
                )
            )
        with pytest.raises(NotYetApplied, match=r"1 of 1 events were not in the log after 0.05 s: the relay"):
            await wait_until_applied(database, OrderSummaries, receipt, 0.05)
        async with database.transaction() as connection:
            await connection.execute(outbox.delete())
            place = {"event_id": event_id, "topic": "orders", "partition": 0, "offset": 0, "published_at": now}
            await connection.execute(published.insert().values(place))
        with pytest.raises(NotYetApplied, match=r"'order_summaries' had not applied orders-0 offset 0 \(it is at 0\)"):
            await wait_until_applied(database, OrderSummaries, receipt, 0.05)
        async with anyio.create_task_group() as group:
            group.start_soon(wait_until_applied, database, OrderSummaries, receipt, 5.0)
            await anyio.sleep(0.02)
            await feeder.feed()
        await wait_until_applied(database, OrderSummaries, Receipt(command_id="c", event_ids=()), 0)

    async def test_a_receipt_of_events_elsewhere_needs_no_waiting(self, database: Database) -> None:
        """Another topic's events never reach this view."""
        await prepare_projections(database, [OrderSummaries], SystemClock())
        async with database.transaction() as connection:
            place = {
                "event_id": "e",
                "topic": "payments",
                "partition": 0,
                "offset": 9,
                "published_at": datetime.now(UTC),
            }
            await connection.execute(published.insert().values(place))
        await wait_until_applied(database, OrderSummaries, Receipt(command_id="c", event_ids=("e",)), 0)
