import re

import pytest

from eventbus.errors import DefinitionError
from eventbus.handlers import Faults, HandlerOptions, Handlers, handles
from eventbus.messages import Event
from tests.eventbus.handlers.modules import FIRST_LINE, WriteModule


def built(*modules: object) -> Handlers:
    faults = Faults()
    handlers = Handlers(list(modules), faults)  # type: ignore[arg-type]
    faults.raise_all()
    return handlers


def test_handlers_are_found_in_the_modules_that_define_them(write_module: WriteModule) -> None:
    """An imported name does not count twice, nor does an alias."""
    home = write_module(
        """
        class Sold(Event, topic="shops"): pass
        @handles(Sold)
        async def first(event: Sold) -> None: ...
        @handles(Sold, start="now", attempts=2)
        def second(event: Sold) -> None: ...
        alias = second
        """,
        name="home",
    )
    elsewhere = write_module("from home import first, second")
    handlers = built(elsewhere, home)
    (definitions,) = handlers.events.values()
    assert [definition.name for definition in definitions] == ["home.first", "home.second"]
    assert definitions[0].options == HandlerOptions()
    assert definitions[1].options == HandlerOptions(start="now", attempts=2)
    assert definitions[0].place == f"home:{FIRST_LINE + 1}"
    assert built(elsewhere).events == {}


def test_marking_registers_nothing(write_module: WriteModule) -> None:
    """A module that no application is given is as if it were not there."""
    write_module(
        "class Sell(Command): pass\n@handles(Sell)\nasync def sell(command: Sell) -> None: ...", name="forgotten"
    )
    assert list(built()) == []


def test_one_function_handles_one_message_type() -> None:
    """Its name stands for it in checkpoints and dead letters."""

    class A(Event, topic="t"):
        pass

    class B(Event, topic="t"):
        pass

    @handles(B)
    async def both(event: A | B) -> None: ...

    with pytest.raises(DefinitionError, match=r"both handles B already, and is marked for A too: write a function"):
        handles(A)(both)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("class Sell(Command): pass", r"m:10: Sell has no handler: mark one by @handles\(Sell\)"),
        ("class Count(Query[int]): pass", r"m:10: Count has no handler"),
        (
            (
                "class Sell(Command): pass\n@handles(Sell)\ndef a(c: Sell) -> None: ...\n"
                "@handles(Sell)\ndef b(c: Sell) -> None: ..."
            ),
            r"Sell has two handlers: m\.a \(m:11\) and m\.b \(m:13\)",
        ),
        (
            "class Sell(Command): pass\n@handles(Sell)\ndef a(c: int) -> None: ...",
            r"m:11: m\.a is marked by @handles\(Sell\) and takes a int",
        ),
        (
            "class Sell(Command): pass\n@handles(Sell)\ndef a(c: Sell, shop) -> None: ...",
            r"m:11: the parameter shop of m\.a has no annotation",
        ),
        (
            "class Sell(Command): pass\n@handles(Sell)\ndef a(c: Sell, shop: Shop) -> None: ...",
            r"m:11: an annotation of m\.a cannot be evaluated: name 'Shop' is not defined: import it outside",
        ),
        ("class Sell(Command): pass\n@handles(Sell)\ndef a() -> None: ...", r"m:11: m\.a must take the message"),
        (
            "class Sell(Command): pass\n@handles(Sell)\ndef a(c: Sell, *, m: Metadata) -> None: ...",
            r"none of them by keyword only",
        ),
    ],
)
def test_what_cannot_be_a_handler_is_named_with_its_place(write_module: WriteModule, source: str, says: str) -> None:
    """The developer is sent to the line."""
    with pytest.raises(DefinitionError, match=says):
        built(write_module(source, name="m"))


def test_every_fault_is_told_at_once(write_module: WriteModule) -> None:
    """Nobody mends them one run at a time."""
    module = write_module("class A(Command): pass\nclass B(Command): pass")
    with pytest.raises(DefinitionError) as caught:
        built(module)
    assert len(str(caught.value).splitlines()) == 2


def test_a_shape_that_others_derive_from_needs_no_handler(write_module: WriteModule) -> None:
    """Only what is sent does."""
    module = write_module(
        """
        class ShopCommand(Command):
            shop_id: str
        class Sell(ShopCommand): pass
        @handles(Sell)
        async def sell(command: ShopCommand) -> None: ...
        """
    )
    assert [command.__name__ for command in built(module).commands] == ["Sell"]


def test_a_decorator_above_the_mark_is_called(write_module: WriteModule) -> None:
    """functools.wraps carries the mark."""
    module = write_module(
        """
        from functools import wraps
        class Sell(Command): pass
        def logged(function):
            @wraps(function)
            async def around(*arguments): await function(*arguments)
            return around
        @logged
        @handles(Sell)
        async def sell(command: Sell, metadata: Metadata) -> None: ...
        """
    )
    (definition,) = built(module).commands.values()
    assert definition.function is module.sell
    assert [name for name, _ in definition.dependencies] == ["metadata"]


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"attempts": 0}, "attempts=0): must be at least 1"),
        ({"retries_on_conflict": -1}, "retries_on_conflict=-1): must be at least 0"),
        ({"backoff_seconds": 5, "backoff_seconds_max": 1}, "backoff_seconds=5 must lie between 0 and"),
        ({"start": "later"}, 'start=\'later\'): must be "beginning" or "now"'),
    ],
)
def test_options_out_of_range_are_refused_at_the_mark(keywords: dict[str, object], says: str) -> None:
    """At import, where the line is known."""

    class Sold(Event, topic="t"):
        pass

    with pytest.raises(DefinitionError, match=re.escape(says)):
        handles(Sold, **keywords)  # type: ignore[call-overload]


def test_handles_refuses_what_is_no_message() -> None:
    """Also for those who run no type checker."""
    with pytest.raises(DefinitionError, match="not a class derived from Command, Event or Query"):
        handles(int)  # type: ignore[type-var]
