import pytest

from eventbus.bus import Buses, Model
from eventbus.clock import SystemClock
from eventbus.database import Database
from eventbus.errors import DefinitionError
from eventbus.handlers import Faults
from eventbus.observability import Counters
from eventbus.store import Transactions
from tests.eventbus.handlers.modules import WriteModule, write_module

__all__ = ["write_module"]


def built(*modules: object) -> Model:
    """As an application does it: model and buses, and every fault at once."""
    faults = Faults()
    model = Model.of(modules, faults)  # type: ignore[arg-type]
    transactions = Transactions(Database.from_url("sqlite:////never/opened.sqlite3"), "s")
    Buses.of("s", model, transactions, faults, clock=SystemClock(), counters=Counters())
    faults.raise_all()
    return model


def test_a_model_knows_its_topics_and_types(write_module: WriteModule) -> None:
    """An aggregate's events are on its topic, another service's on the one that they name."""
    module = write_module(
        """
        class Sold(Event): pass
        class Paid(Event, topic="payments"): pass
        class News(Event, topic="news"): pass
        class Shop(Aggregate, topic="shops"):
            @applies(Sold)
            def _sold(self, event: Sold) -> None: ...
        @handles(Paid)
        async def paid(event: Paid, shops: Repository[Shop]) -> None: ...
        @handles(Sold)
        async def sold(event: Sold) -> None: ...
        """
    )
    model = built(module)
    assert model.handled_topics == {"payments", "shops"}
    assert model.published_topics == {"shops", "payments", "news"}
    assert model.topics.topic(module.Sold) == "shops"
    assert model.types.get("Paid") is module.Paid
    assert model.types.get("News") is None


def test_two_commands_of_one_name_are_refused(write_module: WriteModule) -> None:
    """Sent under the same id, one would be answered the other's receipt; a name of before counts, too."""
    module = write_module(
        """
        class Sell(Command): pass
        class Vend(Command, aliases=["Sell"]): pass
        @handles(Sell)
        async def sell(command: Sell) -> None: ...
        @handles(Vend)
        async def vend(command: Vend) -> None: ...
        """
    )
    with pytest.raises(DefinitionError, match=r"two commands are called 'Sell': .*\.Sell and .*\.Vend: give one"):
        built(module)


def test_an_aggregate_that_a_handler_loads_belongs_to_the_model_wherever_it_is_defined(
    write_module: WriteModule,
) -> None:
    """Its module need not be given."""
    write_module(
        """
        class Sold(Event): pass
        class Shop(Aggregate, topic="shops"):
            @applies(Sold)
            def _sold(self, event: Sold) -> None: ...
        """,
        name="domain",
    )
    handlers = write_module(
        """
        from domain import Shop, Sold
        class Sell(Command): pass
        @handles(Sell)
        async def sell(command: Sell, shops: Repository[Shop]) -> None: ...
        """
    )
    model = built(handlers)
    assert "Sold" in model.types
    assert model.published_topics == {"shops"}


SHOP = """
class Sold(Event): pass
class Shop(Aggregate, topic="shops"):
    @applies(Sold)
    def _sold(self, event: Sold) -> None: ...
"""


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (
            SHOP
            + "class Stall(Aggregate, topic='stalls'):\n  @applies(Sold)\n  def _sold(self, event: Sold) -> None: ...",
            "Sold goes to two topics: 'shops' by m.Shop and 'stalls' by m.Stall",
        ),
        (
            SHOP + "class Stall(Aggregate, topic='stalls', name='Shop'): pass",
            "two aggregates are called 'Shop' and would share streams: m.Shop and m.Stall",
        ),
        (
            "class Paid(Event): pass\n@handles(Paid)\nasync def paid(event: Paid) -> None: ...",
            "m:11: m.paid handles Paid, and nobody knows its topic",
        ),
        (
            "class Paid(Event, topic='p', version=2): pass\n@handles(Paid)\nasync def paid(event: Paid) -> None: ...",
            "Paid is version 2, and nothing turns version 1 into 2: add @upcasts('Paid', from_version=1)",
        ),
        (
            (
                "class Paid(Event, topic='p'): pass\nclass Other(Event, topic='p', name='Paid'): pass\n"
                "@handles(Paid)\nasync def paid(event: Paid) -> None: ...\n"
                "@handles(Other)\nasync def other(event: Other) -> None: ..."
            ),
            "two classes are the event 'Paid': m.Paid (v1) and m.Other (v1)",
        ),
        (
            "class Sell(Command): pass\n@handles(Sell)\nasync def sell(command: Sell, rates: int) -> None: ...",
            "m:11: m.sell needs rates: nothing provides int",
        ),
        (
            SHOP + "class Count(Query[int]): pass\n@handles(Count)\n"
            "async def count(query: Count, shops: Repository[Shop]) -> int: return 1",
            "m.count answers a query, which changes nothing, and shops is for changes",
        ),
    ],
)
def test_what_does_not_fit_together_is_told_when_the_application_is_built(
    write_module: WriteModule, source: str, says: str
) -> None:
    """Never at the first message."""
    with pytest.raises(DefinitionError) as caught:
        built(write_module(source, name="m"))
    assert says in str(caught.value)


def test_faults_of_every_kind_are_told_together(write_module: WriteModule) -> None:
    """One reading, one mending."""
    module = write_module(
        """
        class Unhandled(Command): pass
        class Paid(Event): pass
        @handles(Paid)
        async def paid(event: Paid, rates: int) -> None: ...
        """,
        name="m",
    )
    with pytest.raises(DefinitionError) as caught:
        built(module, "views")
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["modules=[…, 'views', …]", "m", "m", "m"]


def test_upcasters_are_found_in_the_modules(write_module: WriteModule) -> None:
    """As handlers are."""
    module = write_module(
        """
        class Paid(Event, topic="p", version=2): pass
        @upcasts("Paid", from_version=1)
        def _newer(data: dict) -> dict: return data
        @handles(Paid)
        async def paid(event: Paid) -> None: ...
        """
    )
    assert "Paid" in built(module).types
