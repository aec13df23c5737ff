"""The handlers of those queries, and who asks them."""

from eventbus import QueryBus, View, handles
from tests.typing.right.messages import FindOrder, FindOrders
from tests.typing.right.orders import OrderSummaries, OrderSummary


@handles(FindOrder)
async def find_order(query: FindOrder, view: View[OrderSummaries]) -> OrderSummary | None:
    return await view.get(query.order_id)


@handles(FindOrders)
async def find_orders(query: FindOrders, view: View[OrderSummaries]) -> list[OrderSummary]:
    return await view.select(view.columns.status == "paid", order_by="order_id", limit=10)


async def ask(queries: QueryBus) -> list[str]:
    return [summary.status for summary in await queries.ask(FindOrders(customer_id="c-1"))]
