"""Events that do not fit where they are applied, recorded or expected."""

from decimal import Decimal

from eventbus import Aggregate, Decider, Repository, applies
from eventbus.testing import given
from tests.typing.right.orders import Order, OrderPaid, OrderPlaced, PlaceOrder


class Wrong(Aggregate, topic="orders"):
    total: Decimal = Decimal(0)

    @applies(OrderPlaced)  # wrong: the method takes another event
    def _paid(self, event: OrderPaid) -> None: ...

    @applies(PlaceOrder)  # wrong: a command is not applied
    def _place(self, event: PlaceOrder) -> None: ...

    @applies(OrderPaid)  # wrong: nothing is returned
    def _returns(self, event: OrderPaid) -> int:
        return 1

    def place(self) -> None:
        self.record(PlaceOrder(order_id="o-1", customer_id="c-1", lines=[]))  # wrong: a command is not recorded
        self.record(OrderPlaced)  # wrong: the class, not an event


async def load(orders: Repository[Order]) -> str:
    order = await orders.load(1)  # wrong: ids are text
    order.place("c-1")  # wrong: the lines are missing
    return order.total  # wrong: a Decimal


async def load_no_aggregate(orders: Repository[OrderPlaced]) -> None: ...  # wrong: no aggregate


counter: Decider[int, str, int] = Decider(
    initial=lambda: 0, decide=lambda state, command: ["up"], evolve=lambda state, event: state + 1
)


def scenarios(placed: OrderPlaced) -> None:
    given(Order, placed).when(Order.place, "c-1")  # wrong: the lines are missing
    given(Order, placed).when(Order.mark_paid, 1)  # wrong: payment ids are text
    given(Order, placed).when(Wrong.place)  # wrong: another aggregate's method
    given(Order, "placed")  # wrong: no event
    given(Order, placed).when(Order.mark_paid, "p-1").records("paid")  # wrong: no event
    given(Order, placed).when(Order.mark_paid, "p-1").raises(OrderPaid)  # wrong: no error
    given(counter, 1)  # wrong: its events are text
    given(counter).when("up")  # wrong: its commands are numbers
