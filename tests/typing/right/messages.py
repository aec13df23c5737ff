"""Messages in a module of their own, which names a read model without importing it at run time."""

from typing import TYPE_CHECKING

from eventbus import Query

if TYPE_CHECKING:
    from tests.typing.right.orders import OrderSummary


class FindOrder(Query["OrderSummary | None"]):
    order_id: str


class FindOrders(Query["list[OrderSummary]"]):
    customer_id: str
