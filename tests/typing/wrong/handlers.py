"""Handlers that do not fit their message."""

from eventbus import CommandBus, EventBus, QueryBus, handles
from tests.typing.right.orders import GetOrder, OrderPlaced, OrderSummary, PlaceOrder


@handles(PlaceOrder)  # wrong: it takes an event
async def takes_another(command: OrderPlaced) -> None: ...


@handles(PlaceOrder)  # wrong: a command is not answered by data
async def answers(command: PlaceOrder) -> int:
    return 1


@handles(PlaceOrder)  # wrong: the same for a plain function
def answers_in_a_thread(command: PlaceOrder) -> int:
    return 1


@handles(PlaceOrder, start="now")  # wrong: a command has no start
async def starts(command: PlaceOrder) -> None: ...


@handles(OrderPlaced, start="later")  # wrong: "beginning" or "now"
async def starts_later(event: OrderPlaced) -> None: ...


@handles(OrderPlaced, retries=3)  # wrong: no such option
async def retries(event: OrderPlaced) -> None: ...


@handles(GetOrder)  # wrong: another answer
async def wrong_answer(query: GetOrder) -> int:
    return 1


@handles(GetOrder)  # wrong: another query
async def wrong_query(query: PlaceOrder) -> OrderSummary | None:
    return None


@handles(GetOrder)  # wrong: no answer
def no_answer() -> OrderSummary | None:
    return None


@handles(OrderSummary)  # wrong: no message
async def no_message(summary: OrderSummary) -> None: ...


async def use(commands: CommandBus, queries: QueryBus, events: EventBus, placed: OrderPlaced) -> None:
    await commands.send(placed)  # wrong: an event
    await commands.send(GetOrder(order_id="o-1"))  # wrong: a query
    await queries.ask(PlaceOrder(order_id="o-1", customer_id="c-1", lines=[]))  # wrong: a command
    await events.publish(GetOrder(order_id="o-1"))  # wrong: a query
    summary = await queries.ask(GetOrder(order_id="o-1"))
    assert summary.total  # wrong: there may be none
    number: int = await queries.ask(GetOrder(order_id="o-1"))  # wrong: another answer
    assert number
