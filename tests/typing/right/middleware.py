"""Middleware, and the service that it is around."""

from eventbus import Application, Command, Event, HandlerDefinition, Message, Metadata, Next, Query, UnitOfWork
from eventbus.bus import logged, timed
from tests.typing.right import handlers, orders


class OrderReceived(Event, name="OrderPlaced", version=2, aliases=["OrderCreated"], topic="orders", extra="forbid"):
    order_id: str


async def around_all(message: Message, call_next: Next, metadata: Metadata, handler: HandlerDefinition) -> object:
    return await call_next()


async def around_changes(message: Command | OrderReceived, call_next: Next, unit_of_work: UnitOfWork) -> object:
    return await call_next()


class AroundQueries:
    async def __call__(self, query: Query[object], call_next: Next) -> object:
        return await call_next()


app = Application(
    "order-service",
    modules=[handlers, orders],
    provide=handlers.provided,
    middleware=[timed, logged(slow_seconds=1), around_all, around_changes, AroundQueries()],
)
