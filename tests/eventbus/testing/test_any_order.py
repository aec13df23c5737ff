import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.messages import Event
from eventbus.projections import Projection, Row, RowProjection, projects
from eventbus.projections.definition import EventFailed
from eventbus.testing import any_order, project

pytestmark = pytest.mark.anyio


class Stocked(Event, topic="stock"):
    item: str
    count: int


class Priced(Event, topic="prices"):
    item: str
    cents: int


class Offer(Row, key="item"):
    item: str
    count: int = 0
    cents: int = 0


class Offers(RowProjection[Offer], topics=["stock", "prices"]):
    @projects(Stocked)
    def stocked(self, row: Offer | None, event: Stocked) -> Offer:
        return Offer(item=event.item, count=event.count, cents=row.cents if row else 0)

    @projects(Priced)
    def priced(self, row: Offer | None, event: Priced) -> Offer:
        return Offer(item=event.item, count=row.count if row else 0, cents=event.cents)


class HastyOffers(RowProjection[Offer], topics=["stock", "prices"]):
    @projects(Stocked)
    def stocked(self, row: Offer | None, event: Stocked) -> Offer:
        return Offer(item=event.item, count=event.count)

    @projects(Priced)
    def priced(self, row: Offer | None, event: Priced) -> Offer:
        if event.cents < 0:
            raise ValueError("a price below nothing")
        return Offer(item=event.item, count=row.count if row else 0, cents=event.cents)


stocks = Table("stocks", MetaData(), Column("item", String, primary_key=True), Column("count", Integer))


class Stocks(Projection, topics=["stock"], tables=[stocks]):
    @projects(Stocked)
    async def stocked(self, event: Stocked, connection: AsyncConnection) -> None:
        await connection.execute(insert(self.table(stocks)).values(item=event.item, count=event.count))


TEA = Stocked(item="tea", count=3)
PRICE = Priced(item="tea", cents=250)


async def test_events_lead_to_the_rows_of_both_kinds_of_projection() -> None:
    """Row functions and SQL; what a projection has no method for is passed over."""
    [offers] = await project(Offers, TEA, PRICE)
    assert offers == [{"item": "tea", "count": 3, "cents": 250}]
    [rows] = await project(Stocks, PRICE, TEA)
    assert rows == [{"item": "tea", "count": 3}]


async def test_a_method_that_fails_is_told_with_its_error() -> None:
    """The test of a refusal sees what the method raised."""
    with pytest.raises(EventFailed) as caught:
        await project(HastyOffers, TEA, Priced(item="tea", cents=-1))
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize("limit", [2, 100])
async def test_a_projection_that_order_does_not_matter_to_passes(limit: int) -> None:
    """All orders, and a sample of them."""
    more = [TEA, Stocked(item="tea", count=2)], [PRICE, Priced(item="tea", cents=300)]
    assert await any_order(Offers, *more, limit=limit) == ([{"item": "tea", "count": 2, "cents": 300}],)


async def test_one_that_depends_on_it_is_shown_both_orders_and_the_row() -> None:
    """The stock that comes after the price forgets it."""
    with pytest.raises(AssertionError, match="depends on the order of its events") as caught:
        await any_order(HastyOffers, [TEA], [PRICE])
    assert "'cents': 250" in str(caught.value)
    assert "'cents': 0" in str(caught.value)


async def test_a_limit_that_compares_nothing_is_refused() -> None:
    """One order is no comparison."""
    with pytest.raises(ValueError, match="at least 2 orders"):
        await any_order(Offers, [TEA], limit=1)
