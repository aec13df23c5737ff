"""A service that takes orders and learns from another one that they are paid."""

from decimal import Decimal

from eventbus import Aggregate, Command, Event, Repository, applies, handles


class PlaceOrder(Command):
    order_id: str
    total: Decimal


class OrderPlaced(Event):
    order_id: str
    total: Decimal


class OrderSettled(Event):
    order_id: str


class PaymentMade(Event, name="Paid", topic="payments"):
    order: str


class Order(Aggregate, topic="orders"):
    @applies(OrderPlaced)
    def _placed(self, event: OrderPlaced) -> None: ...

    @applies(OrderSettled)
    def _settled(self, event: OrderSettled) -> None: ...


@handles(PlaceOrder)
async def place(command: PlaceOrder, orders: Repository[Order]) -> None:
    order = await orders.load_or_new(command.order_id)
    order.record(OrderPlaced(order_id=order.id, total=command.total))


@handles(PaymentMade)
async def settle(event: PaymentMade, orders: Repository[Order]) -> None:
    order = await orders.load(event.order)
    order.record(OrderSettled(order_id=order.id))
