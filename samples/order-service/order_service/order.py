"""The aggregate: decides what may happen to an order. Its events go to the topic `orders`, keyed by its id."""

from decimal import Decimal
from typing import Literal

from eventbus import Aggregate, DomainError, applies
from order_service.messages import OrderLine, OrderPaid, OrderPlaced, OrderRejected


class OrderAlreadyPlaced(DomainError):
    def __init__(self, order_id: str) -> None:
        super().__init__(f"order {order_id!r} has been placed already")


class OrderIsEmpty(DomainError):
    def __init__(self, order_id: str) -> None:
        super().__init__(f"order {order_id!r} has no lines: an order needs at least one")


class Order(Aggregate, topic="orders"):
    status: Literal["new", "placed", "paid", "rejected"] = "new"
    total: Decimal = Decimal(0)

    def place(self, customer_id: str, lines: list[OrderLine]) -> None:
        if self.status != "new":
            raise OrderAlreadyPlaced(self.id)
        if not lines:
            raise OrderIsEmpty(self.id)
        total = sum((line.total for line in lines), Decimal(0))
        self.record(OrderPlaced(order_id=self.id, customer_id=customer_id, total=total))

    def mark_paid(self, payment_id: str) -> None:
        if self.status == "placed":
            self.record(OrderPaid(order_id=self.id, payment_id=payment_id))

    def reject(self, reason: str) -> None:
        if self.status == "placed":
            self.record(OrderRejected(order_id=self.id, reason=reason))

    @applies(OrderPlaced)
    def _placed(self, event: OrderPlaced) -> None:
        self.status, self.total = "placed", event.total

    @applies(OrderPaid)
    def _paid(self, event: OrderPaid) -> None:
        self.status = "paid"

    @applies(OrderRejected)
    def _rejected(self, event: OrderRejected) -> None:
        self.status = "rejected"
