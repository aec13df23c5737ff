"""What handlers may look like beyond the first screen."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sqlalchemy import text

from eventbus import CommandBus, Event, EventBus, Metadata, QueryBus, Receipt, UnitOfWork, handles, per_message
from tests.typing.right.orders import (
    CountOrders,
    GetOrder,
    OrderPaid,
    OrderPlaced,
    OrderSummary,
    PaymentAuthorized,
    PlaceOrder,
)


class Mailer:
    async def send(self, to: str) -> None: ...


@asynccontextmanager
async def mailer() -> AsyncGenerator[Mailer]:
    yield Mailer()


provided = [mailer, per_message(Mailer), Mailer()]


@handles(OrderPlaced, start="now", attempts=3)
async def thank(event: OrderPlaced, mail: Mailer, metadata: Metadata) -> None:
    if metadata.attempt == 1 and metadata.position is not None:
        await mail.send(f"{event.customer_id} {metadata.position.offset}")


@handles(OrderPaid)
def note_in_a_thread(event: OrderPaid, metadata: Metadata) -> None:
    assert event.payment_id != metadata.correlation_id


@handles(OrderPaid)
async def with_tables(event: OrderPlaced | OrderPaid, unit_of_work: UnitOfWork) -> None:
    await unit_of_work.connection.execute(text("SELECT 1"))
    async with unit_of_work.session.begin_nested():
        pass


@handles(PaymentAuthorized)
async def for_any_event(event: Event, events: EventBus, commands: CommandBus) -> None:
    await events.publish(PaymentAuthorized(order_id="o-1", payment_id="p-1"))
    receipt: Receipt = await commands.send(PlaceOrder(order_id="o-1", customer_id="c-1", lines=[]), id="key")
    assert receipt.event_ids == ()


@handles(GetOrder)
def answer_in_a_thread(query: GetOrder) -> OrderSummary:
    raise NotImplementedError


async def the_answer_is_typed(queries: QueryBus) -> tuple[OrderSummary | None, int]:
    summary = await queries.ask(GetOrder(order_id="o-1"))
    if summary is not None:
        assert summary.total.is_finite()
    return summary, await queries.ask(CountOrders()) + 1


async def a_handler_stays_a_function(mail: Mailer, metadata: Metadata) -> None:
    await thank(OrderPlaced.model_validate({}), mail, metadata)
    note_in_a_thread(OrderPaid(order_id="o-1", payment_id="p-1"), metadata)
