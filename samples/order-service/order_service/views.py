"""The read model: one row an order, folded from the topic `orders`, and the queries that it answers."""

from decimal import Decimal

from eventbus import Row, RowProjection, View, handles, projects
from order_service.messages import GetOrder, ListOrders, OrderPaid, OrderPlaced, OrderRejected


class OrderSummary(Row, key="order_id"):
    order_id: str
    customer_id: str
    status: str
    total: Decimal


class OrderSummaries(RowProjection[OrderSummary], topics=["orders"], version=1):
    @projects(OrderPlaced)
    def placed(self, row: OrderSummary | None, event: OrderPlaced) -> OrderSummary:
        return OrderSummary(order_id=event.order_id, customer_id=event.customer_id, status="placed", total=event.total)

    @projects(OrderPaid)
    def paid(self, row: OrderSummary | None, event: OrderPaid) -> OrderSummary | None:
        return row and row.replace(status="paid")

    @projects(OrderRejected)
    def rejected(self, row: OrderSummary | None, event: OrderRejected) -> OrderSummary | None:
        return row and row.replace(status="rejected")


@handles(GetOrder)
async def get_order(query: GetOrder, view: View[OrderSummaries]) -> OrderSummary | None:
    return await view.get(query.order_id)


@handles(ListOrders)
async def list_orders(query: ListOrders, view: View[OrderSummaries]) -> list[OrderSummary]:
    return await view.select(view.columns.order_id > query.after, order_by="order_id", limit=query.limit)
