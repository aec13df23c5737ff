"""What the payment service hears from the order service, and what it says.

`OrderPlaced` is the order service's event as this service reads it: its own class, with the fields that it needs.
"""

from decimal import Decimal
from typing import TYPE_CHECKING

from pydantic import Field

from eventbus import Event, Query

if TYPE_CHECKING:
    from payment_service.views import Payment


class OrderPlaced(Event, topic="orders"):
    order_id: str
    customer_id: str
    total: Decimal


class PaymentAuthorized(Event):
    order_id: str
    customer_id: str
    payment_id: str
    amount: Decimal


class PaymentDeclined(Event):
    order_id: str
    customer_id: str
    amount: Decimal
    reason: str


class GetPayment(Query["Payment | None"]):
    order_id: str


class ListPayments(Query["list[Payment]"]):
    after: str = ""
    limit: int = Field(default=100, gt=0, le=1000)
