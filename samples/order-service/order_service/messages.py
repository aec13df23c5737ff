"""What the order service is told, what it says, and what it hears from the payment service."""

from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from eventbus import Command, Event, Query

if TYPE_CHECKING:
    from order_service.views import OrderSummary


class OrderLine(BaseModel, frozen=True):
    sku: str
    quantity: int = Field(gt=0)
    price: Decimal = Field(ge=0, max_digits=12, decimal_places=2)

    @property
    def total(self) -> Decimal:
        return self.quantity * self.price


class PlaceOrder(Command):
    order_id: str = Field(min_length=1)
    customer_id: str = Field(min_length=1)
    lines: list[OrderLine]


class OrderPlaced(Event):
    order_id: str
    customer_id: str
    total: Decimal


class OrderPaid(Event):
    order_id: str
    payment_id: str


class OrderRejected(Event):
    order_id: str
    reason: str


class PaymentAuthorized(Event, topic="payments"):
    order_id: str
    payment_id: str


class PaymentDeclined(Event, topic="payments"):
    order_id: str
    reason: str


class GetOrder(Query["OrderSummary | None"]):
    order_id: str


class ListOrders(Query["list[OrderSummary]"]):
    after: str = ""
    limit: int = Field(default=100, gt=0, le=1000)
