from decimal import Decimal
from typing import Generic, TypeVar

import pytest
from pydantic import BaseModel, ValidationError

from eventbus.errors import DefinitionError
from eventbus.messages import Command, Event, Message, Query, Receipt

T = TypeVar("T")


class OrderPlaced(Event):
    order_id: str
    total: Decimal


class Renamed(Event, name="orders.OrderPlaced", version=3):
    order_id: str


class Shared(Event, topic="payments", key="customer_id"):
    customer_id: str


class Authorized(Shared):
    amount: int


class GetOrder(Query["OrderSummary | None"]):  # noqa: F821  a name that is never evaluated
    order_id: str


class Count(Query[int]):
    pass


def test_a_message_is_called_as_its_class_and_has_version_one() -> None:
    """Nothing has to be given."""
    assert (OrderPlaced.message_name, OrderPlaced.message_version) == ("OrderPlaced", 1)


def test_name_and_version_are_independent_of_the_import_path() -> None:
    """A class may move or be renamed."""
    assert (Renamed.message_name, Renamed.message_version) == ("orders.OrderPlaced", 3)


def test_messages_are_frozen() -> None:
    """What has been said is not changed."""
    event = OrderPlaced(order_id="o-1", total=Decimal(5))
    with pytest.raises(ValidationError):
        event.order_id = "o-2"  # type: ignore[misc]


def test_unknown_fields_are_ignored() -> None:
    """A sender may add one without asking its readers."""
    assert OrderPlaced.model_validate({"order_id": "o-1", "total": 5, "currency": "EUR"}).total == 5


def test_a_class_can_refuse_unknown_fields_and_so_do_those_derived_from_it() -> None:
    """Where a field that nobody reads would be a mistake."""

    class Strict(Event, extra="forbid"):
        order_id: str

    class Stricter(Strict):
        total: Decimal

    with pytest.raises(ValidationError, match="currency"):
        Stricter.model_validate({"order_id": "o-1", "total": 5, "currency": "EUR"})


def test_an_event_knows_the_names_that_it_had() -> None:
    """Today's first; a derived class has names of its own."""

    class Placed(Event, name="OrderPlaced", aliases=["OrderCreated", "orders.Created", "OrderCreated"]):
        pass

    class Derived(Placed):
        pass

    assert Placed.event_names() == ("OrderPlaced", "OrderCreated", "orders.Created")
    assert Derived.event_names() == ("Derived",)


def test_a_command_knows_the_names_that_it_had() -> None:
    """As an event does; a derived class has names of its own."""

    class Settle(Command, name="SettleOrder", aliases=["PayOrder"]):
        pass

    class SettleLate(Settle):
        pass

    assert Settle.command_names() == ("SettleOrder", "PayOrder")
    assert SettleLate.command_names() == ("SettleLate",)
    with pytest.raises(DefinitionError, match=r"write aliases=\['Pay'\]"):
        type(Command)("Wrong", (Command,), {"__module__": "shop"}, aliases="Pay")


def test_topic_and_key_are_inherited_and_the_name_is_not() -> None:
    """A service's events can share a class that says where they go."""
    event = Authorized(customer_id="c-1", amount=1)
    assert (Authorized.event_topic, Authorized.event_key) == ("payments", "customer_id")
    assert Authorized.message_name == "Authorized"
    assert event.partition_key() == "c-1"
    assert OrderPlaced(order_id="o-1", total=Decimal(5)).partition_key() is None


def test_a_query_names_its_answer_as_a_class_or_as_a_string() -> None:
    """Messages need not import the read models that answer them."""
    assert GetOrder(order_id="o-1").model_dump() == {"order_id": "o-1"}
    assert GetOrder.__mro__[1] is Query
    assert Count().message_name == "Count"


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"key": "order"}, "key='order' is no field of it; its fields: order_id"),
        ({"version": 0}, "version=0 of Bad: versions are counted from 1"),
        ({"name": "a b"}, "the message name 'a b' cannot travel"),
        ({"topic": ""}, "topic='' is no topic"),
        ({"aliases": ["a b"]}, "the message name 'a b' cannot travel"),
        ({"aliases": ["Bad"]}, "'Bad' is its name, and need not be among its aliases"),
        ({"aliases": "Good"}, "aliases='Good' is one name: write aliases=['Good']"),
        ({"frozen": False}, "messages are frozen"),
    ],
)
def test_keywords_are_checked_when_the_class_is_created(keywords: dict[str, object], says: str) -> None:
    """A mistake is found at import, not at the first message."""
    namespace = {"__module__": "shop", "__qualname__": "Bad", "__annotations__": {"order_id": str}}
    with pytest.raises(DefinitionError, match=r"^shop\.Bad: ") as caught:
        type(Event)("Bad", (Event,), namespace, **keywords)  # type: ignore[call-overload]
    assert says in str(caught.value)


def test_a_misspelt_keyword_is_refused() -> None:
    """`topik=` says so at once."""
    with pytest.raises(TypeError, match="topik"):
        type(Event)("Bad", (Event,), {"__module__": "shop", "__annotations__": {}}, topik="orders")  # type: ignore[call-overload]


@pytest.mark.parametrize("root", [Command, Query, Message])
def test_only_events_have_topics(root: type[Message]) -> None:
    """A command is handled here and now."""
    with pytest.raises(TypeError, match="topic"):
        type(root)("Bad", (root,), {"__module__": "shop", "__annotations__": {}}, topic="orders")  # type: ignore[call-overload]


def test_a_generic_event_can_be_made_concrete() -> None:
    """pydantic's generics keep working in user code."""

    class Changed(Event, Generic[T]):
        value: T

    class PriceChanged(Changed[Decimal]):
        pass

    assert PriceChanged(value=Decimal(1)).message_name == "PriceChanged"


def test_a_receipt_survives_json() -> None:
    """It is answered over HTTP and kept under the caller's key."""
    receipt = Receipt(command_id="c", event_ids=("e-1", "e-2"))
    assert isinstance(receipt, BaseModel)
    assert Receipt.model_validate_json(receipt.model_dump_json()) == receipt
