"""A service that reads another one's orders as a class of its own, and answers with an event of its own."""

from eventbus import Aggregate, Command, CommandBus, Event, Repository, applies, handles


class Bill(Event, name="OrderReceived", aliases=["OrderPlaced"], topic="orders"):
    """The other service's OrderPlaced, of which this one needs no total, and for which it has another name."""

    order_id: str


class Charge(Command):
    order_id: str


class Paid(Event):
    order: str


class Payment(Aggregate, topic="payments"):
    @applies(Paid)
    def _paid(self, event: Paid) -> None: ...


@handles(Bill)
async def on_bill(event: Bill, commands: CommandBus) -> None:
    await commands.send(Charge(order_id=event.order_id))


@handles(Charge)
async def charge(command: Charge, payments: Repository[Payment]) -> None:
    payment = await payments.load_or_new(f"p-{command.order_id}")
    payment.record(Paid(order=command.order_id))
