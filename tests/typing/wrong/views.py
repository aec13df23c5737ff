"""Projections and views that do not fit their rows."""

from eventbus import Row, RowProjection, View, projects
from tests.typing.right.orders import OrderPaid, OrderPlaced, OrderSummaries, OrderSummary


class Other(Row, key="order_id"):
    order_id: str


class Wrong(RowProjection[OrderSummary], topics=["orders"], version=1):
    @projects(OrderPlaced)  # wrong: the method takes another event
    def paid(self, row: OrderSummary | None, event: OrderPaid) -> OrderSummary | None:
        return row


class Absent(RowProjection[OrderSummary], topics=["orders"], version=1):
    @projects(OrderPaid)  # wrong: the row may be absent
    def paid(self, row: OrderSummary, event: OrderPaid) -> OrderSummary:
        return row


class Misspelt(RowProjection[OrderSummary], topic="orders"):  # wrong: topics
    pass


async def use(view: View[OrderSummaries]) -> Other | None:
    summary = await view.get("o-1")
    if summary is not None:
        assert summary.customer  # wrong: no such column
        assert summary.order_id
    return summary  # wrong: another row
