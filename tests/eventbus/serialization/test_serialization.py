from datetime import UTC, date, datetime
from decimal import Decimal
from types import ModuleType
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, JsonValue

from eventbus.errors import DefinitionError, UndecodableMessage
from eventbus.messages import Envelope, Event
from eventbus.serialization import MessageTypes, Upcaster, Upcasters, decode, encode, find_upcasters, upcasts


class Line(BaseModel, frozen=True):
    sku: str
    price: Decimal


class OrderPlaced(Event, version=3):
    order_id: str
    lines: tuple[Line, ...] = ()
    total: Decimal = Field(default=Decimal(0), alias="sum")
    day: date = date(2026, 1, 1)
    key: UUID = UUID(int=1)


@upcasts("OrderPlaced", from_version=1)
def with_order_id(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {**data, "order_id": data["id"]}


@upcasts("OrderPlaced", from_version=2)
def with_sum(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {**data, "sum": data["total"]}


STEPS = (Upcaster("OrderPlaced", 1, with_order_id), Upcaster("OrderPlaced", 2, with_sum))


def envelope(version: int, type_: str = "OrderPlaced") -> Envelope:
    return Envelope("e-1", type_, version, "s", datetime(2026, 1, 1, tzinfo=UTC))


def test_a_message_survives_json() -> None:
    """Decimals, dates, ids, nested models and aliases included."""
    event = OrderPlaced.model_validate({"order_id": "o-1", "lines": [{"sku": "a", "price": "2.50"}], "sum": "2.50"})
    data = encode(event)
    assert data.startswith(b'{"order_id":"o-1","lines":[{"sku":"a","price":"2.50"}],"sum":"2.50",')
    assert decode(OrderPlaced, data) == event


def test_data_that_do_not_fit_name_the_field_and_never_its_value() -> None:
    """A dead letter tells the developer what is wrong, and the log no secret."""
    with pytest.raises(UndecodableMessage) as caught:
        decode(OrderPlaced, b'{"lines":[{"sku":"a","price":"secret"}]}')
    text = str(caught.value)
    assert text.startswith("OrderPlaced v3: order_id: Field required; lines.0.price: ")
    assert "secret" not in text


def test_bytes_that_are_no_json_are_undecodable() -> None:
    """Whatever the bytes."""
    with pytest.raises(UndecodableMessage, match="Invalid JSON"):
        decode(OrderPlaced, b"\x00garbage")


def test_an_event_of_an_older_version_is_upcast_step_by_step() -> None:
    """The log is not rewritten."""
    types = MessageTypes([OrderPlaced], Upcasters(STEPS))
    event = types.decode(envelope(1), b'{"id":"o-1","total":"7.10"}')
    assert event == OrderPlaced.model_validate({"order_id": "o-1", "sum": "7.10"})
    assert types.decode(envelope(2), b'{"order_id":"o-1","total":"7.10"}') == event
    assert types.decode(envelope(3), b'{"order_id":"o-1","sum":"7.10"}') == event


def test_an_event_of_an_unknown_type_is_none() -> None:
    """Others may publish to the topic what this service has no interest in."""
    types = MessageTypes([OrderPlaced], Upcasters(STEPS))
    assert types.decode(envelope(1, "OrderShipped"), b"{}") is None
    assert types.get("OrderShipped") is None
    assert "OrderPlaced" in types


@pytest.mark.parametrize(
    ("version", "data", "says"),
    [
        (4, b"{}", "v4 is newer than version 3, the newest known here"),
        (3, None, "has no data"),
        (1, b"[]", "the value is no JSON object"),
        (1, b"{", "OrderPlaced v1: "),
        (1, b"{}", r"the upcaster .*test_serialization:\d+ failed: KeyError: 'id'"),
        (2, b'{"total":1}', "order_id: Field required"),
    ],
)
def test_what_cannot_be_read_says_why(version: int, data: bytes | None, says: str) -> None:
    """Newer versions, tombstones, wrong shapes and failing upcasters each have their words."""
    with pytest.raises(UndecodableMessage, match=says):
        MessageTypes([OrderPlaced], Upcasters(STEPS)).decode(envelope(version), data)


def test_a_gap_in_a_chain_is_found_when_the_application_is_built() -> None:
    """Not when the first old event comes."""
    with pytest.raises(DefinitionError) as caught:
        MessageTypes([OrderPlaced], Upcasters(STEPS[1:]))
    assert str(caught.value) == (
        "OrderPlaced is version 3, and nothing turns version 1 into 2: add @upcasts('OrderPlaced', from_version=1)"
    )


def test_an_upcaster_beyond_the_newest_version_is_refused() -> None:
    """Its author forgot to raise the version."""
    beyond = Upcaster("OrderPlaced", 3, with_sum)
    with pytest.raises(DefinitionError, match="leads beyond version 3"):
        MessageTypes([OrderPlaced], Upcasters((*STEPS, beyond)))


def test_two_upcasters_of_one_step_are_refused_with_both_places() -> None:
    """Which one would count?"""
    with pytest.raises(
        DefinitionError, match=r"has two upcasters: .*test_serialization:\d+ and .*test_serialization:\d+"
    ):
        Upcasters((Upcaster("OrderPlaced", 1, with_order_id), Upcaster("OrderPlaced", 1, with_sum)))


def test_two_classes_of_one_name_are_refused() -> None:
    """Bytes could be read as either."""
    other = type(Event)("OrderPlaced", (Event,), {"__module__": "elsewhere", "__qualname__": "OrderPlaced"})
    with pytest.raises(DefinitionError, match=r"two classes are the event 'OrderPlaced': .*elsewhere\.OrderPlaced"):
        MessageTypes([OrderPlaced, other], Upcasters(STEPS))


class Shipped(Event, version=3, aliases=["Sent", "Posted"]):
    address: str


@upcasts("Posted", from_version=1)
def with_street(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"street": data["to"]}


@upcasts("Shipped", from_version=2)
def with_address(data: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"address": data["street"]}


RENAMED = (Upcaster("Posted", 1, with_street), Upcaster("Shipped", 2, with_address))


@pytest.mark.parametrize(
    ("name", "version", "data"),
    [
        ("Posted", 1, b'{"to":"Elm Street"}'),
        ("Sent", 2, b'{"street":"Elm Street"}'),
        ("Posted", 3, b'{"address":"Elm Street"}'),
        ("Shipped", 3, b'{"address":"Elm Street"}'),
    ],
)
def test_an_older_name_finds_the_class_and_its_versions_are_one_chain(name: str, version: int, data: bytes) -> None:
    """A rename changes no version, and an upcaster may be marked with any of the names."""
    types = MessageTypes([Shipped], Upcasters(RENAMED))
    assert types.decode(envelope(version, name), data) == Shipped(address="Elm Street")
    assert types.get(name) is Shipped
    assert list(types) == [Shipped]


def test_upcasters_of_one_step_under_two_names_are_refused() -> None:
    """It is one step."""
    with pytest.raises(DefinitionError, match=r"Shipped version 2 has two upcasters: .*:\d+ and .*:\d+"):
        MessageTypes([Shipped], Upcasters((*RENAMED, Upcaster("Sent", 2, with_street))))


def test_an_alias_that_is_another_class_is_refused() -> None:
    """Bytes could be read as either."""
    sent = type(Event)("Sent", (Event,), {"__module__": "elsewhere", "__qualname__": "Sent"})
    with pytest.raises(DefinitionError, match=r"two classes are the event 'Sent': .*Shipped .* and elsewhere\.Sent"):
        MessageTypes([Shipped, sent], Upcasters(RENAMED))


def test_two_services_may_read_one_event_as_different_classes() -> None:
    """Each takes the fields that it needs, under the name that travels."""
    ours = type(Event)("Billed", (Event,), {"__module__": "a", "__annotations__": {"amount": Decimal}}, name="Paid")
    theirs = type(Event)("Paid", (Event,), {"__module__": "b", "__annotations__": {"payment_id": str}})
    data = b'{"payment_id":"p-1","amount":"5"}'
    assert MessageTypes([ours]).decode(envelope(1, "Paid"), data) == ours(amount=Decimal(5))
    assert MessageTypes([theirs]).decode(envelope(1, "Paid"), data) == theirs(payment_id="p-1")


def test_unknown_fields_are_refused_where_the_class_says_so() -> None:
    """The dead letter names the field."""
    strict = type(Event)("Strict", (Event,), {"__module__": "a", "__annotations__": {"amount": int}}, extra="forbid")
    with pytest.raises(UndecodableMessage, match="Strict v1: currency: Extra inputs are not permitted"):
        decode(strict, b'{"amount":5,"currency":"secret"}')


def test_upcasters_are_found_where_they_are_defined() -> None:
    """An imported one does not count twice."""
    home, elsewhere = ModuleType(__name__), ModuleType("elsewhere")
    for module in (home, elsewhere):
        vars(module).update(with_order_id=with_order_id, OrderPlaced=OrderPlaced)
    assert [step.function for step in find_upcasters([home, elsewhere])] == [with_order_id]
