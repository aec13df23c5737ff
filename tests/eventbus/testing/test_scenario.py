from decimal import Decimal

import pytest

from eventbus.domain import Aggregate, Decider, applies
from eventbus.errors import DomainError
from eventbus.messages import Event
from eventbus.testing import given


class ShopOpened(Event):
    shop_id: str


class Sold(Event):
    price: Decimal


class ShopIsClosed(DomainError):
    pass


class Shop(Aggregate, topic="shops"):
    is_open: bool = False
    takings: Decimal = Decimal(0)
    visitors: int = 0

    def open(self) -> None:
        self.record(ShopOpened(shop_id=self.id))

    def sell(self, price: Decimal, *, times: int = 1) -> None:
        if not self.is_open:
            raise ShopIsClosed(f"shop {self.id!r} is closed")
        for _ in range(times):
            self.record(Sold(price=price))

    def visit(self) -> None:
        self.visitors += 1

    @applies(ShopOpened)
    def _opened(self, event: ShopOpened) -> None:
        self.is_open = True

    @applies(Sold)
    def _sold(self, event: Sold) -> None:
        self.takings += event.price


def test_records_holds_the_decision_to_its_events() -> None:
    """All of them, in order, with keyword arguments of the call."""
    given(Shop, ShopOpened(shop_id="s-1")).when(Shop.sell, Decimal(3), times=2).records(
        Sold(price=Decimal(3)), Sold(price=Decimal(3))
    ).state(takings=Decimal(6), is_open=True).state(lambda shop: shop.id == "s-1")


def test_raises_holds_it_to_its_refusal() -> None:
    """By class and by words."""
    given(Shop, id="s-9").when(Shop.sell, Decimal(3)).raises(ShopIsClosed, match="'s-9' is closed").raises(DomainError)


def test_the_id_comes_from_the_events_when_it_is_not_given() -> None:
    """`shop_id` of a Shop's event."""
    given(Shop, ShopOpened(shop_id="s-7")).when(Shop.open).records(ShopOpened(shop_id="s-7"))
    given(Shop).when(Shop.open).records(ShopOpened(shop_id="1"))


def test_other_events_than_expected_are_shown_as_a_difference() -> None:
    """The reader sees the field."""
    outcome = given(Shop, ShopOpened(shop_id="s-1")).when(Shop.sell, Decimal(3))
    with pytest.raises(AssertionError) as caught:
        outcome.records(Sold(price=Decimal(4)))
    assert "-     price=Decimal('4')," in str(caught.value)
    assert "+     price=Decimal('3')," in str(caught.value)


def test_an_error_that_nobody_expects_goes_on() -> None:
    """A test of events does not hide it."""
    outcome = given(Shop, id="s-1").when(Shop.sell, Decimal(3))
    with pytest.raises(ShopIsClosed):
        outcome.records()
    with pytest.raises(ShopIsClosed):
        outcome.state(is_open=False)
    with pytest.raises(AssertionError, match="expected KeyError, but it raised ShopIsClosed"):
        outcome.raises(KeyError)
    with pytest.raises(AssertionError, match="does not have 'open' in its text"):
        outcome.raises(ShopIsClosed, match="open")


def test_an_expected_refusal_that_does_not_come_shows_what_came() -> None:
    """The events are named."""
    with pytest.raises(AssertionError, match=r"expected ShopIsClosed, but it recorded\nShopOpened\("):
        given(Shop).when(Shop.open).raises(ShopIsClosed)


def test_a_wrong_state_is_shown() -> None:
    """Found and expected."""
    outcome = given(Shop).when(Shop.open)
    with pytest.raises(AssertionError, match=r"the state is {'is_open': True}, expected {'is_open': False}"):
        outcome.state(is_open=False)
    with pytest.raises(AssertionError, match="the state is not as expected"):
        outcome.state(lambda shop: shop.takings)


def test_state_that_is_changed_beside_the_events_is_found() -> None:
    """The next load would not see it."""
    with pytest.raises(AssertionError, match=r"the state is {'visitors': 0}, expected {'visitors': 1}"):
        given(Shop).when(Shop.visit).state(visitors=1)


def test_a_decider_is_tested_in_the_same_words() -> None:
    """Functions and classes alike."""
    counter: Decider[int, str, int] = Decider(
        initial=lambda: 0, decide=lambda state, command: ["up"] * (command - state), evolve=lambda state, _: state + 1
    )
    given(counter, "up").when(3).records("up", "up").state(lambda state: state == 3)
    with pytest.raises(AssertionError, match="- 'down'"):
        given(counter).when(1).records("down")
