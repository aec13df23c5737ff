from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import pytest

from eventbus.errors import DefinitionError
from eventbus.handlers import (
    HandlerDefinition,
    HandlerOptions,
    Invocation,
    Provided,
    Provision,
    Scope,
    current_scope,
    per_message,
)
from eventbus.messages import Message, Metadata, Query
from eventbus.store import UnitOfWork

pytestmark = pytest.mark.anyio
log: list[str] = []


@dataclass(frozen=True)
class Rates:
    euro: int = 7


class Gateway(Protocol):
    def pay(self) -> str: ...


class BankGateway(Gateway):
    def __init__(self, rates: Rates) -> None:
        self.rates = rates

    def pay(self) -> str:
        return f"paid {self.rates.euro}"


class Client:
    pass


class Clock:
    pass


class Ask(Query[str]):
    pass


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    log.append("client opened")
    yield Client()
    log.append("client closed")


async def clock(metadata: Metadata) -> AsyncIterator[Clock]:
    log.append(f"clock for {metadata.id}")
    try:
        yield Clock()
    finally:
        log.append("clock stopped")


async def rates() -> Rates:
    return Rates(euro=9)


METADATA = Metadata(id="q-1", type="Ask", version=1, source="s", time=datetime(2026, 1, 1, tzinfo=UTC))


def invocation(function: object, provide: Sequence[object], *dependencies: type) -> tuple[Invocation, Provided]:
    provided = Provided(provide)
    provision = Provision([provided.source])
    provided.join(provision)
    parameters = tuple((f"parameter{number}", annotation) for number, annotation in enumerate(dependencies))
    definition = HandlerDefinition("m.ask", function, Ask, HandlerOptions(), "m:1", parameters)  # type: ignore[arg-type]
    return Invocation(definition, provision), provided


async def test_an_instance_is_provided_for_its_class_and_what_it_derives_from() -> None:
    """Handlers may ask for the port, the application gives the adapter."""
    gateway = BankGateway(Rates())

    async def ask(query: Message, given: Gateway, same: BankGateway) -> bool:
        return given is same is gateway

    called, _ = invocation(ask, [gateway], Gateway, BankGateway)
    assert await called.within(Scope(METADATA, None), Ask()) is True


async def test_what_lives_as_long_as_the_application_is_made_once_and_left_at_its_end() -> None:
    """Classes, async functions and context managers; what they need is made first."""
    log.clear()
    seen: list[object] = []

    async def ask(query: Message, gateway: Gateway, given: Client) -> str:
        seen.append(given)
        return gateway.pay()

    called, provided = invocation(ask, [BankGateway, rates, client], Gateway, Client)
    with pytest.raises(DefinitionError, match=r"is made when the application starts: enter app\.lifespan"):
        await called.within(Scope(METADATA, None), Ask())
    async with provided.opened():
        assert await called.within(Scope(METADATA, None), Ask()) == "paid 9"
        assert await called.within(Scope(METADATA, None), Ask()) == "paid 9"
        assert log == ["client opened"]
    assert log == ["client opened", "client closed"]
    assert seen[0] is seen[1]


async def test_what_lives_as_long_as_a_message_is_made_for_each_and_left_after_it() -> None:
    """Also when the handler raises."""
    log.clear()

    async def ask(query: Message, given: Clock) -> None:
        log.append("handled")
        raise RuntimeError("no")

    called, _ = invocation(ask, [per_message(clock)], Clock)
    for _attempt in range(2):
        with pytest.raises(RuntimeError):
            await called.within(Scope(METADATA, None), Ask())
    assert log == ["clock for q-1", "handled", "clock stopped"] * 2


async def test_what_nobody_provides_is_named_with_the_handler() -> None:
    """All of a handler's at once."""
    with pytest.raises(DefinitionError) as caught:
        invocation(None, [], Rates, Client)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("m:1: m.ask needs parameter0: nothing provides Rates: there are Repository[…], View[…]")
    assert lines[1].startswith("m:1: m.ask needs parameter1: nothing provides Client")


async def test_two_things_that_would_do_are_refused() -> None:
    """Which one is meant?"""
    with pytest.raises(DefinitionError, match=r"Rates is provided 2 times: Rates\(euro=7\), Rates\(euro=8\)"):
        invocation(None, [Rates(), Rates(euro=8)], Rates)


async def test_a_query_is_not_given_what_is_for_changes() -> None:
    """It changes nothing."""
    with pytest.raises(
        DefinitionError, match=r"m\.ask answers a query, which changes nothing, and parameter0 is for changes"
    ):
        invocation(None, [], UnitOfWork)


async def test_what_lives_longer_cannot_need_what_lives_shorter() -> None:
    """The text says which."""
    with pytest.raises(
        DefinitionError, match="BankGateway is made once and needs Rates, which is made for each message"
    ):
        invocation(None, [BankGateway, per_message(rates)], Gateway)
    with pytest.raises(DefinitionError, match="BankGateway is made at start and needs Rates, which is not provided"):
        invocation(None, [BankGateway], Gateway)


async def test_things_that_need_each_other_are_refused() -> None:
    """With the circle."""

    def one(two: Rates) -> Client:
        raise NotImplementedError

    def two(one: Client) -> Rates:
        raise NotImplementedError

    with pytest.raises(DefinitionError, match=r"depends on itself: .*one → .*two → .*one"):
        Provided([one, two]).source(Client)


async def test_a_factory_says_what_it_makes() -> None:
    """Without a return annotation nobody knows."""

    def make():  # type: ignore[no-untyped-def]
        return Rates()

    with pytest.raises(DefinitionError, match="make is provided, and has no return annotation"):
        Provided([make])


async def test_a_plain_function_around_an_async_one_is_awaited() -> None:
    """Decorators of users make them."""

    async def inner() -> str:
        return "done"

    called, _ = invocation(lambda _: inner(), [])
    assert await called.within(Scope(METADATA, None), Ask()) == "done"


async def test_the_scope_is_current_while_the_handler_runs_and_not_after() -> None:
    """What was started in it and forgotten is no part of the message."""

    async def ask(query: Message) -> object:
        return current_scope()

    called, _ = invocation(ask, [])
    scope = await called.within(Scope(METADATA, None), Ask())
    assert scope is not None
    assert current_scope() is None
    assert not scope.is_open  # type: ignore[attr-defined]
