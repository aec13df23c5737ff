"""An application and what it is asked."""

from eventbus import Application, Receipt
from tests.typing.right import handlers, orders
from tests.typing.right.orders import GetOrder, OrderSummary, PaymentAuthorized, PlaceOrder

app = Application("order-service", modules=[handlers, orders], provide=handlers.provided)


async def post_order(command: PlaceOrder) -> Receipt:
    return await app.send(command, id="key")


async def get_order(order_id: str, receipt: Receipt) -> OrderSummary | None:
    return await app.ask(GetOrder(order_id=order_id), at_least=receipt, timeout=2)


async def publish() -> str:
    return await app.publish(PaymentAuthorized(order_id="o-1", payment_id="p-1"))
