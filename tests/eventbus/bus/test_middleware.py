"""What is done around every message, and what is wrong with a middleware when the application is built."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from types import ModuleType

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy import select

from eventbus.bus import Buses, CommandBus, Model, logged, timed
from eventbus.clock import SystemClock
from eventbus.database import Database
from eventbus.database.tables import outbox
from eventbus.errors import DefinitionError
from eventbus.handlers import Faults, HandlerDefinition, Middleware, Next, handles
from eventbus.messages import Command, Event, Message, Metadata, Query
from eventbus.observability import Counters
from eventbus.store import Transactions, UnitOfWork
from tests.eventbus.bus import shop
from tests.eventbus.bus.shop import Announced, CountSales, Restless, Sell, SellTwice, SoldOut, WhoAsks

pytestmark = pytest.mark.anyio
said: list[str] = []


def built(database: Database, middleware: Sequence[Middleware]) -> Buses:
    said.clear()
    shop.handled.clear()
    faults = Faults()
    transactions = Transactions(database, "shop-service")
    buses = Buses.of(
        "shop-service",
        Model.of([shop], faults),
        transactions,
        faults,
        clock=SystemClock(),
        counters=Counters(),
        middleware=middleware,
    )
    faults.raise_all()
    return buses


@pytest.fixture
def offline() -> Database:
    """For queries, which need none."""
    return Database.from_url("sqlite:////never/opened.sqlite3")


async def outer(message: Message, call_next: Next, metadata: Metadata, handler: HandlerDefinition) -> object:
    said.append(f"outer before {metadata.type} of {handler.function.__name__}")
    answer = await call_next()
    said.append(f"outer after {metadata.type}: {answer}")
    return answer


async def inner(message: Command | Query[object], call_next: Next) -> object:
    said.append(f"inner {message.message_name}")
    return await call_next()


class OnlyEvents:
    async def __call__(self, message: Event, call_next: Next) -> object:
        said.append(f"event {message.message_name}")
        return await call_next()


async def announced(command: Command, call_next: Next, unit_of_work: UnitOfWork) -> object:
    answer = await call_next()
    unit_of_work.publish(Announced(shop_id="s-1"), topic="news", key="s-1")
    return answer


async def from_a_cache(query: CountSales, call_next: Next) -> object:
    return 99


async def twice(message: Message, call_next: Next) -> object:
    await call_next()
    return await call_next()


async def test_the_first_middleware_is_the_outermost(offline: Database) -> None:
    """What comes later in the list is nearer to the handler."""
    assert await built(offline, [outer, OnlyEvents(), inner]).queries.ask(WhoAsks()) == "shop-service"
    assert said == ["outer before WhoAsks of who_asks", "inner WhoAsks", "outer after WhoAsks: shop-service"]


async def test_a_middleware_is_for_the_messages_that_its_annotation_names(database: Database) -> None:
    """Commands here; an event's goes around each of its handlers."""
    buses = built(database, [OnlyEvents(), inner])
    await buses.commands.send(Sell(shop_id="s-1"))
    assert said == ["inner Sell"]


def _module_with_an_event_handler() -> ModuleType:
    async def note(event: Announced) -> None:
        said.append(f"handled {event.shop_id}")

    module = ModuleType(__name__)
    vars(module)["note"] = handles(Announced)(note)
    return module


def _metadata() -> Metadata:
    return Metadata("m-1", "Announced", 1, "other-service", datetime.now(UTC))


async def test_events_go_through_it_when_they_are_delivered(offline: Database) -> None:
    """Delivery calls the same invocation."""
    said.clear()
    faults = Faults()
    model = Model.of([_module_with_an_event_handler()], faults)
    transactions = Transactions(offline, "s")
    buses = Buses.of(
        "s", model, transactions, faults, clock=SystemClock(), counters=Counters(), middleware=[OnlyEvents(), inner]
    )
    faults.raise_all()
    (invocation,) = buses.subscribers[Announced]
    async with transactions.begin(lazily=True) as transaction:
        await invocation(Announced(shop_id="s-1"), transaction.unit_of_work(_metadata()))
    assert said == ["event Announced", "handled s-1"]


async def test_a_message_sent_by_a_handler_goes_through_it_too(database: Database) -> None:
    """Each message for itself."""
    await built(database, [inner]).commands.send(SellTwice(shop_id="s-1"))
    assert said == ["inner SellTwice", "inner Sell", "inner Sell"]


async def test_what_a_middleware_writes_is_committed_with_the_handlers_effects(database: Database) -> None:
    """And rolled back with them."""
    buses = built(database, [announced])
    await buses.commands.send(Sell(shop_id="s-1"))
    with pytest.raises(SoldOut):
        await buses.commands.send(Sell(shop_id="s-1", amount=1000))
    async with database.reading() as connection:
        topics = (await connection.execute(select(outbox.c.topic))).scalars().all()
    assert sorted(topics) == ["news", "shops"]


async def test_a_middleware_that_does_not_go_on_answers_in_the_handlers_place(offline: Database) -> None:
    """A cache, say."""
    assert await built(offline, [from_a_cache]).queries.ask(CountSales(shop_id="s-1")) == 99


async def test_going_on_twice_is_refused(offline: Database) -> None:
    """A second attempt would begin with what the first has left."""
    with pytest.raises(DefinitionError, match=r"twice calls call_next twice: retries are a setting of the handler"):
        await built(offline, [twice]).queries.ask(WhoAsks())


async def test_an_error_goes_through_every_middleware_and_names_the_handler(offline: Database) -> None:
    """The note is there as without any."""
    with pytest.raises(DefinitionError, match="a query changes nothing") as caught:
        await built(offline, [timed, logged()]).queries.ask(Restless())
    assert "while tests.eventbus.bus.shop.restless" in caught.value.__notes__[-1]


async def test_timing_is_a_histogram_by_handler(offline: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the class of the error, when there is one."""
    reader = InMemoryMetricReader()
    histogram = MeterProvider([reader]).get_meter("test").create_histogram("eventbus.handler.duration")
    monkeypatch.setattr("eventbus.observability.metrics._handler_duration", histogram)
    buses = built(offline, [timed])
    await buses.queries.ask(WhoAsks())
    with pytest.raises(DefinitionError):
        await buses.queries.ask(Restless())
    data = reader.get_metrics_data()
    assert data is not None
    points = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    found = {
        (point.attributes or {})["eventbus.handler.name"]: (point.attributes or {}).get("error.type")
        for point in points
    }
    assert found == {"tests.eventbus.bus.shop.who_asks": None, "tests.eventbus.bus.shop.restless": "DefinitionError"}


async def test_logging_tells_the_handler_the_message_and_the_time(
    offline: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A slow or failing one louder."""
    with caplog.at_level(logging.DEBUG, "eventbus.handlers"):
        await built(offline, [logged(level=logging.DEBUG)]).queries.ask(WhoAsks())
        await built(offline, [logged(slow_seconds=0)]).queries.ask(WhoAsks())
        with pytest.raises(DefinitionError):
            await built(offline, [logged()]).queries.ask(Restless())
    lines = [(line.levelname, line.getMessage()) for line in caplog.records if "restless" in line.getMessage()]
    assert [line.levelname for line in caplog.records][:2] == ["DEBUG", "WARNING"]
    assert "who_asks: WhoAsks " in caplog.records[0].getMessage()
    assert " was slow after " in caplog.records[1].getMessage()
    assert lines[-1][0] == "WARNING"
    assert "Restless" in lines[-1][1]
    assert " failed with DefinitionError after " in lines[-1][1]


def plain(message: Message, call_next: Next) -> object:
    return call_next()


async def nothing() -> object:
    return None


async def bare(message: Message, call_next: Next, rates) -> object:  # type: ignore[no-untyped-def]
    return await call_next()


async def of_text(message: str, call_next: Next) -> object:
    return await call_next()


async def by_keyword(message: Message, call_next: Next, *, commands: CommandBus) -> object:
    return await call_next()


async def unprovided(command: Command, call_next: Next, rates: int) -> object:
    return await call_next()


async def writing(message: Message, call_next: Next, unit_of_work: UnitOfWork) -> object:
    return await call_next()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (plain, "plain must be an `async def (message, call_next, …)`"),
        (partial(inner), "must be an `async def"),
        (nothing, "nothing must take the message, call_next and then what it needs"),
        (by_keyword, "by_keyword must take the message, call_next"),
        (bare, "the parameter rates of tests.eventbus.bus.test_middleware.bare has no annotation"),
        (of_text, "the first parameter of tests.eventbus.bus.test_middleware.of_text says which messages it is for"),
        (unprovided, "unprovided needs rates: nothing provides int"),
        (
            writing,
            "writing is for CountSales, a query, which changes nothing, and unit_of_work is for changes: annotate its",
        ),
    ],
)
def test_what_cannot_be_a_middleware_is_told_when_the_application_is_built(
    offline: Database, given: Middleware, says: str
) -> None:
    """With its place."""
    with pytest.raises(DefinitionError) as caught:
        built(offline, [given])
    assert says in str(caught.value)
