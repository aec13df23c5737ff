from decimal import Decimal

import pytest

from eventbus.errors import DefinitionError
from eventbus.messages import Event
from eventbus.projections import Row, RowProjection, projects
from eventbus.testing.contracts.orders import (
    OrderForgotten,
    OrderPaid,
    OrderPlaced,
    OrderSummaries,
    OrderSummary,
    placed,
)


def test_rows_are_folded_from_events_without_a_database() -> None:
    """`fold` is the pure core: what a batch does, in a test."""
    rows = OrderSummaries.fold([placed("o-1"), placed("o-2"), OrderPaid(order_id="o-1")])
    assert [(row.order_id, row.status, row.events) for row in rows] == [("o-1", "paid", 2), ("o-2", "placed", 1)]


def test_none_deletes_the_row_or_leaves_it_absent() -> None:
    """What a function returns is what is there."""
    assert OrderSummaries.fold([placed("o-1"), OrderForgotten(order_id="o-1"), OrderPaid(order_id="o-2")]) == []


def test_folding_goes_on_from_rows_that_are_there() -> None:
    """A batch begins with the rows of the table."""
    first = OrderSummaries.fold([placed("o-1")])
    assert OrderSummaries.fold([OrderPaid(order_id="o-1")], first)[0].status == "paid"


def test_the_name_is_the_class_in_snake_case_unless_given() -> None:
    """It names tables, checkpoints and dead letters."""
    assert OrderSummaries.projection_name == "order_summaries"

    class Other(OrderSummaries, topics=["orders"], name="others", version=3):
        pass

    assert (Other.projection_name, Other.projection_version) == ("others", 3)
    assert Other.fold([placed("o-1")])


def test_a_key_that_the_event_does_not_have_is_refused_with_the_way_out() -> None:
    """Checked when the class is created, at the method's line."""

    class Shipped(Event):
        order: str

    with pytest.raises(DefinitionError, match=r"Shipped has no field 'order_id'.*@projects\(Shipped, key="):

        class Bad(RowProjection[OrderSummary], topics=["orders"]):
            @projects(Shipped)
            def shipped(self, row: OrderSummary | None, event: Shipped) -> OrderSummary | None:
                return row

    class Good(RowProjection[OrderSummary], topics=["orders"]):
        @projects(Shipped, key="order")
        def shipped(self, row: OrderSummary | None, event: Shipped) -> OrderSummary | None:
            return row

    assert Good.fold([Shipped(order="o-1")]) == []


def test_a_key_of_another_type_is_refused() -> None:
    """It would never find its row."""

    class Counted(Event):
        order_id: int

    with pytest.raises(DefinitionError, match="both have to be of one type"):

        class Bad(RowProjection[OrderSummary], topics=["orders"]):
            @projects(Counted)
            def counted(self, row: OrderSummary | None, event: Counted) -> OrderSummary | None:
                return row


def test_two_methods_for_one_event_are_refused_with_both_places() -> None:
    """Which of them came first would be an accident."""
    with pytest.raises(DefinitionError, match=r"two methods take OrderPaid: .*:\d+ and .*:\d+"):

        class Bad(RowProjection[OrderSummary], topics=["orders"]):
            @projects(OrderPaid)
            def one(self, row: OrderSummary | None, event: OrderPaid) -> OrderSummary | None:
                return row

            @projects(OrderPaid)
            def two(self, row: OrderSummary | None, event: OrderPaid) -> OrderSummary | None:
                return row


def test_a_projection_without_rows_topics_or_methods_is_refused() -> None:
    """Each with what is missing."""
    with pytest.raises(DefinitionError, match="RowProjection"):

        class NoRow(RowProjection, topics=["orders"]):  # type: ignore[type-arg]
            pass

    with pytest.raises(DefinitionError, match="topics=''"):

        class NoTopic(RowProjection[OrderSummary], topics=""):
            pass

    with pytest.raises(DefinitionError, match="no method is marked"):

        class NoMethod(RowProjection[OrderSummary], topics=["orders"]):
            pass


def test_a_row_returned_under_another_key_is_an_error_of_the_function() -> None:
    """It would overwrite a stranger's row."""

    class Confused(RowProjection[OrderSummary], topics=["orders"]):
        @projects(OrderPlaced)
        def placed(self, row: OrderSummary | None, event: OrderPlaced) -> OrderSummary:
            return OrderSummary(order_id="x", customer_id="c", status="placed", total=Decimal(1))

    with pytest.raises(ValueError, match=r"\('o-1',\).*\('x',\)"):
        Confused.fold([placed("o-1")])


def test_one_method_may_take_several_events() -> None:
    """Decorators stack."""

    class Seen(Row, key="order_id"):
        order_id: str
        times: int

    class Sightings(RowProjection[Seen], topics=["orders"]):
        @projects(OrderPlaced)
        @projects(OrderPaid)
        def seen(self, row: Seen | None, event: OrderPlaced | OrderPaid) -> Seen:
            return Seen(order_id=event.order_id, times=1 if row is None else row.times + 1)

    assert Sightings.fold([placed("o-1"), OrderPaid(order_id="o-1")]) == [Seen(order_id="o-1", times=2)]
