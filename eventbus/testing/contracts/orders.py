"""Events of orders, and projections of them: what the suites of projections run over a database."""

from decimal import Decimal

from sqlalchemy import BigInteger, Column, MetaData, Table, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.messages import Event
from eventbus.projections import Projection, Row, RowProjection, projects
from eventbus.serialization.types import MessageTypes


class OrderPlaced(Event, name="ContractOrderPlaced", topic="orders", key="order_id"):
    order_id: str
    customer_id: str
    total: Decimal


class OrderPaid(Event, name="ContractOrderPaid", topic="orders", key="order_id"):
    order_id: str


class OrderForgotten(Event, name="ContractOrderForgotten", topic="orders", key="order_id"):
    order_id: str


class OrderSummary(Row, key="order_id"):
    order_id: str
    customer_id: str
    status: str
    total: Decimal
    events: int = 1


class OrderSummaries(RowProjection[OrderSummary], topics=["orders"]):
    @projects(OrderPlaced)
    def placed(self, row: OrderSummary | None, event: OrderPlaced) -> OrderSummary:
        if event.total < 0:
            raise ValueError("a total below zero")
        events = 1 if row is None else row.events + 1
        return OrderSummary(
            order_id=event.order_id, customer_id=event.customer_id, status="placed", total=event.total, events=events
        )

    @projects(OrderPaid)
    def paid(self, row: OrderSummary | None, event: OrderPaid) -> OrderSummary | None:
        return row and row.replace(status="paid", events=row.events + 1)

    @projects(OrderForgotten)
    def forgotten(self, row: OrderSummary | None, event: OrderForgotten) -> None:
        return None


class CustomerTotal(Row, key="customer_id"):
    customer_id: str
    orders: int
    total: Decimal


class CustomerTotals(RowProjection[CustomerTotal], topics=["orders"]):
    """Its rows are touched by several partitions: orders of one customer lie anywhere."""

    @projects(OrderPlaced)
    def placed(self, row: CustomerTotal | None, event: OrderPlaced) -> CustomerTotal:
        orders, total = (0, Decimal(0)) if row is None else (row.orders, row.total)
        return CustomerTotal(customer_id=event.customer_id, orders=orders + 1, total=total + event.total)


class OrderSize(Row, key="order_id"):
    order_id: str
    cents: int


class OrderSizes(RowProjection[OrderSize], topics=["orders"]):
    """A sum that is too large for a column is found out by the database only."""

    @projects(OrderPlaced)
    def placed(self, row: OrderSize | None, event: OrderPlaced) -> OrderSize:
        return OrderSize(order_id=event.order_id, cents=int(event.total * 100))


turnover = Table(
    "turnover",
    MetaData(),
    Column("customer_id", Text, primary_key=True),
    Column("orders", BigInteger, nullable=False, index=True),
)


class Turnover(Projection, topics=["orders"], tables=[turnover]):
    @projects(OrderPlaced)
    async def placed(self, event: OrderPlaced, connection: AsyncConnection) -> None:
        if event.total < 0:
            raise ValueError("a total below zero")
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        table = self.table(turnover)
        statement = insert(table).values(customer_id=event.customer_id, orders=1)
        await connection.execute(
            statement.on_conflict_do_update(index_elements=["customer_id"], set_={"orders": table.c.orders + 1})
        )


TYPES = MessageTypes([OrderPlaced, OrderPaid, OrderForgotten])


def placed(order_id: str, total: str = "5.00", customer_id: str = "c-1") -> OrderPlaced:
    """An order."""
    return OrderPlaced(order_id=order_id, customer_id=customer_id, total=Decimal(total))
