"""An order's first event, which was changed twice and renamed once: docs/how-to/rename-or-change-an-event.md."""

from decimal import Decimal

from pydantic import JsonValue

from eventbus import Aggregate, Command, Event, Repository, applies, handles, upcasts


class PlaceOrder(Command):
    order_id: str
    total: Decimal


class OrderPlaced(Event, version=3, aliases=["OrderCreated"]):
    order_id: str
    total: Decimal
    currency: str
    note: str = ""


@upcasts("OrderCreated", from_version=1)
def _id_became_order_id(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"order_id": data["id"], "total": data["total"]}


@upcasts("OrderPlaced", from_version=2)
def _all_was_in_euro(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {**data, "currency": "EUR"}


class Order(Aggregate, topic="orders"):
    total: Decimal = Decimal(0)

    def place(self, total: Decimal) -> None:
        self.record(OrderPlaced(order_id=self.id, total=total, currency="EUR"))

    @applies(OrderPlaced)
    def _placed(self, event: OrderPlaced) -> None:
        self.total = event.total


@handles(PlaceOrder)
async def place_order(command: PlaceOrder, orders: Repository[Order]) -> None:
    order = await orders.load_or_new(command.order_id)
    order.place(command.total)
