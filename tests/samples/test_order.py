"""The order, given what has happened to it, when it is told something."""

from decimal import Decimal

from eventbus.testing import given
from order_service.messages import OrderLine, OrderPaid, OrderPlaced, OrderRejected
from order_service.order import Order, OrderAlreadyPlaced, OrderIsEmpty

line = OrderLine(sku="apple", quantity=2, price=Decimal("2.50"))
placed = OrderPlaced(order_id="o-1", customer_id="c-1", total=Decimal(5))


def test_an_order_is_placed_once() -> None:
    given(Order, placed).when(Order.place, "c-1", [line]).raises(OrderAlreadyPlaced)


def test_a_new_order_is_placed_with_the_total_of_its_lines() -> None:
    given(Order, id="o-1").when(Order.place, "c-1", [line]).records(placed)


def test_an_order_without_lines_is_refused() -> None:
    given(Order, id="o-1").when(Order.place, "c-1", []).raises(OrderIsEmpty)


def test_a_placed_order_is_paid_once() -> None:
    paid = OrderPaid(order_id="o-1", payment_id="p-1")
    given(Order, placed).when(Order.mark_paid, "p-1").records(paid)
    given(Order, placed, paid).when(Order.mark_paid, "p-1").records()


def test_a_paid_order_is_not_rejected_any_more() -> None:
    given(Order, placed, OrderPaid(order_id="o-1", payment_id="p-1")).when(Order.reject, "late").records()
    given(Order, placed).when(Order.reject, "no").records(OrderRejected(order_id="o-1", reason="no"))
