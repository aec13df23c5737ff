"""What the payment service does when it hears of an order."""

from eventbus import Repository, handles
from payment_service.credit import Credit
from payment_service.messages import OrderPlaced


@handles(OrderPlaced)
async def pay_for_order(event: OrderPlaced, customers: Repository[Credit]) -> None:
    credit = await customers.load_or_new(event.customer_id)
    credit.pay(event.order_id, event.total)
