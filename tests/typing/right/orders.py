"""Messages, an aggregate, handlers and a read model, as the README's first screen has them."""

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel

from eventbus import (
    Aggregate,
    Command,
    DomainError,
    Event,
    Query,
    Repository,
    Row,
    RowProjection,
    View,
    applies,
    handles,
    projects,
)


class OrderLine(BaseModel, frozen=True):
    sku: str
    total: Decimal


class PlaceOrder(Command):
    order_id: str
    customer_id: str
    lines: list[OrderLine]


class OrderPlaced(Event):
    order_id: str
    customer_id: str
    total: Decimal


class OrderPaid(Event, name="orders.OrderPaid", version=2):
    order_id: str
    payment_id: str


class PaymentAuthorized(Event, topic="payments", key="order_id"):
    order_id: str
    payment_id: str


class GetOrder(Query["OrderSummary | None"]):
    order_id: str


class CountOrders(Query[int]):
    pass


class OrderAlreadyPlaced(DomainError):
    pass


class Order(Aggregate, topic="orders"):
    status: Literal["new", "placed", "paid", "rejected"] = "new"
    total: Decimal = Decimal(0)

    def place(self, customer_id: str, lines: list[OrderLine]) -> None:
        if self.status != "new":
            raise OrderAlreadyPlaced(self.id)
        total = sum((line.total for line in lines), Decimal(0))
        self.record(OrderPlaced(order_id=self.id, customer_id=customer_id, total=total))

    def mark_paid(self, payment_id: str) -> None:
        if self.status == "placed":
            self.record(OrderPaid(order_id=self.id, payment_id=payment_id))

    @applies(OrderPlaced)
    def _placed(self, event: OrderPlaced) -> None:
        self.status, self.total = "placed", event.total

    @applies(OrderPaid)
    def _paid(self, event: OrderPaid) -> None:
        self.status = "paid"


@handles(PlaceOrder)
async def place_order(command: PlaceOrder, orders: Repository[Order]) -> None:
    order = await orders.load_or_new(command.order_id)
    order.place(command.customer_id, command.lines)


@handles(PaymentAuthorized)
async def mark_paid(event: PaymentAuthorized, orders: Repository[Order]) -> None:
    order = await orders.load(event.order_id)
    order.mark_paid(event.payment_id)


class OrderSummary(Row, key="order_id"):
    order_id: str
    status: str
    total: Decimal


class OrderSummaries(RowProjection[OrderSummary], topics=["orders"], version=1):
    @projects(OrderPlaced)
    def placed(self, row: OrderSummary | None, event: OrderPlaced) -> OrderSummary:
        return OrderSummary(order_id=event.order_id, status="placed", total=event.total)

    @projects(OrderPaid)
    def paid(self, row: OrderSummary | None, event: OrderPaid) -> OrderSummary | None:
        return row and row.replace(status="paid")


@handles(GetOrder)
async def get_order(query: GetOrder, view: View[OrderSummaries]) -> OrderSummary | None:
    return await view.get(query.order_id)


@handles(CountOrders)
async def count_orders(query: CountOrders, view: View[OrderSummaries]) -> int:
    return await view.count()
