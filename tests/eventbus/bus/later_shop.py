"""A later release of the shop, in which `Sell` has another name."""

from eventbus import Command, Repository, handles
from tests.eventbus.bus.shop import Shop


class Vend(Command, aliases=["Sell"]):
    shop_id: str


@handles(Vend)
async def vend(command: Vend, shops: Repository[Shop]) -> None:
    shop = await shops.load_or_new(command.shop_id)
    shop.sell(1)
