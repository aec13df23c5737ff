"""The demo's checker has teeth: whatever is altered, missing or doubled, it finds."""

from dataclasses import replace
from decimal import Decimal

import pytest

from samples.demo.checker import LoggedEvent, check
from samples.demo.ledger import Entry, Ledger

KILLED_AT = 1_000.0


class World:
    """Three orders as they are when nothing went wrong: two paid, one rejected."""

    def __init__(self) -> None:
        self.events: list[LoggedEvent] = []
        self.orders: dict[str, dict[str, str | None]] = {}
        self.payments: dict[str, dict[str, str | None]] = {}
        self.ledger = Ledger(killed_at=KILLED_AT, back_at=KILLED_AT + 1, relays_killed={"payments": [KILLED_AT]})
        for number, paid in ((1, True), (2, True), (3, False)):
            self._order(f"o-{number}", f"c-{number}", Decimal(number), paid=paid)

    def faults(self) -> list[str]:
        return check(self.events, self.orders, self.payments, self.ledger).faults

    def _order(self, order_id: str, customer_id: str, total: Decimal, *, paid: bool) -> None:
        said = {"order_id": order_id, "customer_id": customer_id}
        self._log("orders", "OrderPlaced", f"Order-{order_id}", 1, {**said, "total": str(total)})
        verdict = {**said, "amount": str(total)}
        if paid:
            payment_id = f"payment-{order_id}"
            self._log(
                "payments", "PaymentAuthorized", f"Credit-{customer_id}", 1, {**verdict, "payment_id": payment_id}
            )
            self._log("orders", "OrderPaid", f"Order-{order_id}", 2, {"order_id": order_id, "payment_id": payment_id})
        else:
            payment_id = None
            self._log("payments", "PaymentDeclined", f"Credit-{customer_id}", 1, {**verdict, "reason": "credit"})
            self._log("orders", "OrderRejected", f"Order-{order_id}", 2, {"order_id": order_id, "reason": "credit"})
        self.orders[order_id] = {
            **said,
            "status": "paid" if paid else "rejected",
            # A database may answer another scale: the checker compares numbers.
            "total": f"{total}.00",
        }
        self.payments[order_id] = {
            **said,
            "status": "authorized" if paid else "declined",
            "amount": str(total),
            "payment_id": payment_id,
        }
        self.ledger.orders[order_id] = Entry(posted_at=KILLED_AT - 5, settled_at=KILLED_AT + 5)

    def _log(self, topic: str, name: str, stream: str, version: int, data: dict[str, str]) -> None:
        number = len(self.events)
        self.events.append(
            LoggedEvent(topic, 0, number, KILLED_AT - 4, f"id-{number}", name, KILLED_AT - 4, stream, version, data)
        )


@pytest.fixture
def world() -> World:
    return World()


def test_a_world_in_order_has_no_faults(world: World) -> None:
    """What went well is not complained about."""
    assert world.faults() == []


@pytest.mark.parametrize("number", range(9))
def test_a_missing_event_is_found(world: World, number: int) -> None:
    """Whichever of the nine events is taken away, the checker misses it."""
    del world.events[number]
    assert world.faults()


@pytest.mark.parametrize("number", range(9))
def test_a_doubled_event_is_found(world: World, number: int) -> None:
    """The same event, with its id, once more in its topic."""
    world.events.append(replace(world.events[number], offset=100))
    assert any("is doubled" in fault for fault in world.faults())


@pytest.mark.parametrize("number", range(9))
def test_a_doubled_effect_is_found(world: World, number: int) -> None:
    """An event that says the same under a new id is an effect that happened twice."""
    doubled = world.events[number]
    world.events.append(replace(doubled, id="another", offset=100, stream_version=max(2, doubled.stream_version) + 1))
    assert world.faults()


def test_what_the_killed_relay_publishes_again_is_counted_and_allowed(world: World) -> None:
    """A copy in the killed service's topic, said before the kill and copied after it, is at-least-once at work."""
    payment = next(event for event in world.events if event.topic == "payments")
    world.events.append(replace(payment, offset=100, logged_at=KILLED_AT + 2))
    findings = check(world.events, world.orders, world.payments, world.ledger)
    assert findings.faults == []
    assert findings.figures["published again after the kill, same id"] == 1


@pytest.mark.parametrize("name", ["customer_id", "status", "total"])
def test_an_altered_order_row_is_found(world: World, name: str) -> None:
    """One value of one row of the order service's answer."""
    world.orders["o-2"][name] = "7"
    assert any("o-2" in fault for fault in world.faults())


@pytest.mark.parametrize("name", ["customer_id", "status", "amount", "payment_id"])
def test_an_altered_payment_row_is_found(world: World, name: str) -> None:
    """One value of one row of the payment service's answer."""
    world.payments["o-1"][name] = "7"
    assert any("o-1" in fault for fault in world.faults())


def test_a_lost_and_an_invented_row_are_found(world: World) -> None:
    """Rows are the fold of the events, no more and no fewer."""
    world.orders["o-9"] = world.orders.pop("o-1")
    assert {fault.split()[1] for fault in world.faults()} >= {"o-1", "o-9"}


def test_an_accepted_order_that_is_not_in_the_log_is_found(world: World) -> None:
    """An answer of 202 is a promise."""
    world.ledger.orders["o-4"] = Entry(posted_at=KILLED_AT)
    assert any("o-4" in fault for fault in world.faults())


def test_a_stream_out_of_order_is_found(world: World) -> None:
    """Version 2 before version 1 in the partition."""
    placed = next(event for event in world.events if event.type == "OrderPlaced")
    world.events[world.events.index(placed)] = replace(placed, offset=100)
    assert any("version 1 expected" in fault for fault in world.faults())
