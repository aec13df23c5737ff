"""Tests of aggregates and deciders."""

from decimal import Decimal

from eventbus import Decider
from eventbus.testing import given
from tests.typing.right.orders import Order, OrderAlreadyPlaced, OrderLine, OrderPaid, OrderPlaced

line = OrderLine(sku="apple", total=Decimal(5))
placed = OrderPlaced(order_id="o-1", customer_id="c-1", total=Decimal(5))
counter: Decider[int, str, int] = Decider(
    initial=lambda: 0, decide=lambda state, command: ["up"] * (command - state), evolve=lambda state, event: state + 1
)


def scenarios() -> None:
    given(Order, placed).when(Order.place, "c-1", [line]).raises(OrderAlreadyPlaced)
    given(Order, id="o-1").when(Order.place, customer_id="c-1", lines=[line]).records(placed)
    given(Order, placed, OrderPaid(order_id="o-1", payment_id="p-1")).when(Order.mark_paid, "p-2").records().state(
        lambda order: order.status == "paid", total=Decimal(5)
    )
    given(counter, "up").when(2).records("up").state(lambda state: state == 2)
