"""Given, when, then for handlers, on the samples' own and on some that go wrong."""

from decimal import Decimal

import pytest

from eventbus import DefinitionError, Event, EventBus, Metadata, handles
from eventbus.testing import given_handler
from order_service import order
from order_service.handlers import mark_paid, place_order
from order_service.messages import OrderPaid, OrderPlaced, PaymentAuthorized, PlaceOrder
from order_service.order import OrderAlreadyPlaced

pytestmark = pytest.mark.anyio


class Arrived(Event, topic="arrivals"):
    parcel: str


class Thanked(Event, topic="thanks"):
    parcel: str


class Desk:
    """The world outside: a charge under a key that it knows already is none."""

    def __init__(self) -> None:
        self.charges: list[str] = []


@handles(Arrived)
async def thank(event: Arrived, bus: EventBus, desk: Desk, metadata: Metadata) -> None:
    desk.charges.append(metadata.id)
    await bus.publish(Thanked(parcel=event.parcel))


@handles(Arrived)
async def count_calls(event: Arrived, bus: EventBus, desk: Desk) -> None:
    desk.charges.append("call")
    await bus.publish(Thanked(parcel=f"{event.parcel} {len(desk.charges)}"))


PLACED = OrderPlaced(order_id="o-1", customer_id="c-1", total=Decimal(6))


async def test_a_command_is_decided_on_the_past() -> None:
    """What its handler loads is what was given; a second order is refused."""
    command = PlaceOrder(order_id="o-1", customer_id="c-1", lines=[])
    (await given_handler(place_order, PLACED).when(command)).raises(OrderAlreadyPlaced)


async def test_an_event_finds_what_was_given_and_records_what_it_leads_to() -> None:
    """Once and twice: another service's event changes the aggregate that was given."""
    payment = PaymentAuthorized(order_id="o-1", payment_id="p-1")
    paid = OrderPaid(order_id="o-1", payment_id="p-1")
    (await given_handler(mark_paid, PLACED).when(payment)).records(paid)
    (await given_handler(mark_paid, PLACED).deliver_twice(payment)).records(paid)
    (await given_handler(mark_paid, PLACED, paid).when(payment)).records()


async def test_an_event_delivered_twice_is_handled_twice_and_recorded_once() -> None:
    """Lost before the commit, it is handled again under the same id; after it, it is dropped."""
    desk = Desk()
    outcome = await given_handler(thank, provide=[desk]).deliver_twice(Arrived(parcel="p-1"))
    outcome.records(Thanked(parcel="p-1"))
    assert len(desk.charges) == 2
    assert len(set(desk.charges)) == 1


async def test_a_handler_that_decides_otherwise_the_second_time_is_found() -> None:
    """It depends on what it has done outside before."""
    with pytest.raises(AssertionError, match="the second call recorded"):
        await given_handler(count_calls, provide=[Desk()]).deliver_twice(Arrived(parcel="p-1"))


async def test_what_a_handler_does_not_take_is_refused_with_its_name() -> None:
    """A slip in the test is no green test."""
    with pytest.raises(DefinitionError, match="thank does not handle OrderPlaced"):
        await given_handler(thank, provide=[Desk()], modules=[order]).when(PLACED)
