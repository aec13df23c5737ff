"""A small service: a shop sells, counts, and passes things on."""

import asyncio

from anyio import from_thread
from sqlalchemy import text

from eventbus.bus import CommandBus, EventBus, QueryBus
from eventbus.domain import Aggregate, Repository, applies
from eventbus.errors import DomainError
from eventbus.handlers import handles
from eventbus.messages import Command, Event, Metadata, Query
from eventbus.store import UnitOfWork


class Sold(Event):
    shop_id: str
    amount: int


class Announced(Event, topic="news", key="shop_id"):
    shop_id: str


class Nowhere(Event):
    pass


class Sell(Command):
    shop_id: str
    amount: int = 1


class SellInThread(Command):
    shop_id: str


class SellTwice(Command):
    shop_id: str


class SellTwiceInThread(Command):
    shop_id: str


class SellLater(Command):
    shop_id: str


class Announce(Command):
    shop_id: str


class SellAlwaysLate(Command):
    shop_id: str


class Forget(Command):
    pass


class CountSales(Query[int]):
    shop_id: str


class WhoAsks(Query[str]):
    pass


class Restless(Query[None]):
    pass


class SoldOut(DomainError):
    pass


class Shop(Aggregate, topic="shops"):
    sold: int = 0

    def sell(self, amount: int) -> None:
        if self.sold + amount > 100:
            raise SoldOut(f"shop {self.id!r} has {100 - self.sold} left")
        self.record(Sold(shop_id=self.id, amount=amount))

    @applies(Sold)
    def _sold(self, event: Sold) -> None:
        self.sold += event.amount


handled: list[Metadata] = []


@handles(Sell)
async def sell(command: Sell, shops: Repository[Shop], metadata: Metadata) -> None:
    handled.append(metadata)
    shop = await shops.load_or_new(command.shop_id)
    shop.sell(command.amount)


@handles(SellInThread)
def sell_in_thread(command: SellInThread, shops: Repository[Shop]) -> None:
    shop = from_thread.run(shops.load_or_new, command.shop_id)
    shop.sell(1)


@handles(SellTwice)
async def sell_twice(command: SellTwice, commands: CommandBus) -> None:
    await commands.send(Sell(shop_id=command.shop_id))
    await commands.send(Sell(shop_id=command.shop_id))


@handles(SellTwiceInThread)
def sell_twice_in_thread(command: SellTwiceInThread, commands: CommandBus) -> None:
    for _ in range(2):
        from_thread.run(commands.send, Sell(shop_id=command.shop_id))


later: list[asyncio.Task[None]] = []


@handles(SellLater)
async def sell_later(command: SellLater, commands: CommandBus) -> None:
    async def send() -> None:
        await asyncio.sleep(0.05)
        await commands.send(Sell(shop_id=command.shop_id))

    later.append(asyncio.create_task(send()))


@handles(Announce)
async def announce(command: Announce, events: EventBus, shops: Repository[Shop]) -> None:
    await events.publish(Announced(shop_id=command.shop_id))
    (await shops.load(command.shop_id)).sell(1)


@handles(SellAlwaysLate, retries_on_conflict=2)
async def sell_always_late(command: SellAlwaysLate, unit_of_work: UnitOfWork, metadata: Metadata) -> None:
    handled.append(metadata)
    unit_of_work.append(
        f"Shop-{command.shop_id}",
        99,
        [Sold(shop_id=command.shop_id, amount=1)],
        topic="shops",
        key=command.shop_id,
        category="Shop",
    )


@handles(Forget)
async def forget(command: Forget, unit_of_work: UnitOfWork) -> None:
    await unit_of_work.connection.execute(text("SELECT * FROM there_is_no_such_table"))


@handles(CountSales)
async def count_sales(query: CountSales, metadata: Metadata) -> int:
    return len([one for one in handled if one.type == "Sell"])


@handles(WhoAsks)
def who_asks(query: WhoAsks, metadata: Metadata) -> str:
    return metadata.source


@handles(Restless)
async def restless(query: Restless, commands: CommandBus, queries: QueryBus) -> None:
    assert await queries.ask(WhoAsks()) == "shop-service"
    await commands.send(Sell(shop_id="s-1"))
