"""What the order service does when it is told something, or hears something."""

from eventbus import Repository, handles
from order_service.messages import PaymentAuthorized, PaymentDeclined, PlaceOrder
from order_service.order import Order


@handles(PlaceOrder)
async def place_order(command: PlaceOrder, orders: Repository[Order]) -> None:
    order = await orders.load_or_new(command.order_id)
    order.place(command.customer_id, command.lines)


@handles(PaymentAuthorized)
async def mark_paid(event: PaymentAuthorized, orders: Repository[Order]) -> None:
    order = await orders.load(event.order_id)
    order.mark_paid(event.payment_id)


@handles(PaymentDeclined)
async def reject(event: PaymentDeclined, orders: Repository[Order]) -> None:
    order = await orders.load(event.order_id)
    order.reject(event.reason)
