"""Given, when, then for projections, delivered once and twice."""

from itertools import count

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus import DefinitionError, Event
from eventbus.projections import Projection, Row, RowProjection, projects
from eventbus.testing import given_projection

pytestmark = pytest.mark.anyio


class Paid(Event, topic="payments"):
    order: str
    cents: int


class Refunded(Event, topic="payments"):
    order: str


class Shipped(Event, topic="shipments"):
    order: str


class Payment(Row, key="order"):
    order: str
    cents: int


class Payments(RowProjection[Payment], topics=["payments"]):
    @projects(Paid)
    def paid(self, row: Payment | None, event: Paid) -> Payment:
        if event.cents < 0:
            raise ValueError("a payment below nothing")
        return Payment(order=event.order, cents=event.cents + (row.cents if row else 0))

    @projects(Refunded)
    def refunded(self, row: Payment | None, event: Refunded) -> None:
        return None


calls = count(1)


class CountedPayments(RowProjection[Payment], topics=["payments"]):
    @projects(Paid)
    def paid(self, row: Payment | None, event: Paid) -> Payment:
        return Payment(order=event.order, cents=next(calls))


takings = Table("takings", MetaData(), Column("number", Integer, primary_key=True), Column("cents", Integer))
orders = Table("orders", MetaData(), Column("order", String, primary_key=True))


class Takings(Projection, topics=["payments"], tables=[takings, orders]):
    @projects(Paid)
    async def paid(self, event: Paid, connection: AsyncConnection) -> None:
        table = self.table(takings)
        number = (await connection.scalar(select(func.count()).select_from(table)) or 0) + 1
        await connection.execute(insert(table).values(number=number, cents=event.cents))
        await connection.execute(insert(self.table(orders)).values(order=event.order))


PAID = Paid(order="o-1", cents=200)


async def test_events_are_applied_to_the_rows_of_what_was_given() -> None:
    """The rows are compared whole, in any order; a row that is gone is none."""
    more = Paid(order="o-1", cents=50)
    outcome = await given_projection(Payments, PAID).when(more, Paid(order="o-2", cents=1))
    outcome.rows(Payment(order="o-2", cents=1), Payment(order="o-1", cents=250))
    (await given_projection(Payments, PAID).when(Refunded(order="o-1"))).rows()


async def test_an_event_delivered_twice_is_in_the_rows_once() -> None:
    """Lost before the commit, it is applied again; published again, it is dropped. Rows and tables in SQL."""
    again = Paid(order="o-1", cents=50)
    (await given_projection(Payments, PAID).deliver_twice(again)).rows(Payment(order="o-1", cents=250))
    outcome = await given_projection(Takings, PAID).deliver_twice(Paid(order="o-2", cents=7))
    outcome.rows({"number": 1, "cents": 200}, {"number": 2, "cents": 7}, table=takings)
    outcome.rows({"order": "o-1"}, {"order": "o-2"}, table=orders)


async def test_a_projection_that_makes_something_else_of_it_the_second_time_is_found() -> None:
    """A rebuild would not agree with the live view; both rows are shown."""
    with pytest.raises(AssertionError, match="applied again after it was lost, led to other rows") as caught:
        await given_projection(CountedPayments).deliver_twice(PAID)
    assert "'cents': 1" in str(caught.value)
    assert "'cents': 2" in str(caught.value)


async def test_other_rows_than_expected_are_shown() -> None:
    """What is missing, and what is there."""
    outcome = await given_projection(Payments).when(PAID)
    with pytest.raises(
        AssertionError, match=r"- Payment\(order='o-1', cents=1\)\n\+ Payment\(order='o-1', cents=200\)"
    ):
        outcome.rows(Payment(order="o-1", cents=1))


async def test_an_error_is_expected_or_goes_on() -> None:
    """By class and by words, as it was raised."""
    outcome = await given_projection(Payments, PAID).deliver_twice(Paid(order="o-1", cents=-1))
    outcome.raises(ValueError, match="below nothing")
    with pytest.raises(ValueError, match="below nothing"):
        outcome.rows()
    with pytest.raises(AssertionError, match="expected ValueError, but every event was applied"):
        (await given_projection(Payments).when(PAID)).raises(ValueError)


async def test_a_slip_in_the_test_is_refused_with_words() -> None:
    """An event without a method, a table that is not said, one that is another's."""
    with pytest.raises(DefinitionError, match="Payments has no method for Shipped"):
        await given_projection(Payments).when(Shipped(order="o-1"))
    outcome = await given_projection(Takings, Shipped(order="o-1")).when(PAID)
    with pytest.raises(TypeError, match="Takings has 2 tables: say which one"):
        outcome.rows()
    with pytest.raises(KeyError, match="table 'others' is not in tables= of Takings"):
        outcome.rows(table=Table("others", MetaData(), Column("id", Integer, primary_key=True)))
