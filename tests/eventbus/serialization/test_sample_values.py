"""Events made up from their classes."""

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Annotated, Literal, Self
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from eventbus.errors import DefinitionError
from eventbus.messages import Event
from eventbus.serialization import sample_of


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Card(BaseModel, frozen=True):
    kind: Literal["card"]
    number: Annotated[str, Field(pattern=r"^[0-9]{16}$")]


class Invoice(BaseModel, frozen=True):
    kind: Literal["invoice"]


class Tree(BaseModel, frozen=True):
    name: str
    parent: "Tree | None"
    children: tuple["Tree", ...]


class Everything(Event):
    text: str
    short: Annotated[str, Field(max_length=3)]
    long: Annotated[str, Field(min_length=12)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    count: Annotated[int, Field(gt=5)]
    even: Annotated[int, Field(multiple_of=2, ge=3)]
    rate: Annotated[float, Field(gt=0, lt=0.5)]
    total: Annotated[Decimal, Field(max_digits=6, decimal_places=2)]
    whether: bool
    maybe: int | None
    colour: Colour
    day: date
    at: datetime
    hour: time
    pause: timedelta
    key: UUID
    address: IPv4Address
    raw: bytes
    names: frozenset[str]
    pair: tuple[int, str]
    prices: dict[str, Decimal]
    numbers: dict[int, str]
    payment: Annotated[Card | Invoice, Field(discriminator="kind")]
    tree: Tree
    given: Annotated[str, Field(examples=["an example"])]
    with_default: int = 7
    renamed: int = Field(default=7, alias="otherName")


def test_every_field_has_a_value_and_each_time_the_same() -> None:
    """Within its bounds, under its alias."""
    assert sample_of(Everything) == sample_of(Everything)
    assert json.loads(sample_of(Everything)) == {
        "text": "text",
        "short": "sho",
        "long": "long________",
        "currency": "AAA",
        "count": 6,
        "even": 4,
        "rate": 0.25,
        "total": "1",
        "whether": True,
        "maybe": 1,
        "colour": "red",
        "day": "2026-01-02",
        "at": "2026-01-02T03:04:05Z",
        "hour": "03:04:05Z",
        "pause": "PT1H",
        "key": "00000000-0000-4000-8000-000000000001",
        "address": "192.0.2.1",
        "raw": "text",
        "names": ["names"],
        "pair": [1, "pair"],
        "prices": {"1": "1"},
        "numbers": {"1": "value"},
        "payment": {"kind": "card", "number": "1" * 16},
        "tree": {"name": "name", "parent": None, "children": []},
        "given": "an example",
        "with_default": 1,
        "otherName": 1,
    }


class Chosen(Event):
    model_config = ConfigDict(json_schema_extra={"examples": [{"low": 1, "high": 9}]})

    low: int
    high: int

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self


def test_an_example_of_the_whole_class_is_taken_as_it_is() -> None:
    """For rules that no schema tells."""
    assert sample_of(Chosen) == b'{"low":1,"high":9}'


class Patterned(Event):
    code: Annotated[str, Field(pattern=r"^Z[0-9]-x$")]


class Ruled(Event):
    low: int

    @model_validator(mode="after")
    def _never(self) -> Self:
        raise ValueError("low must be low")


class Endless(Event):
    inner: "Inner"


class Inner(BaseModel):
    again: "Inner"


class Impossible(Event):
    number: Annotated[int, Field(gt=1, lt=2)]


@pytest.mark.parametrize(
    ("event", "says"),
    [
        (Patterned, r"Patterned: no sample of it can be made up: code must match \^Z\[0-9\]-x\$: give an example"),
        (Ruled, "the value: Value error, low must be low: give an example"),
        (Endless, "again is a Inner within a Inner"),
        (Impossible, "number has bounds between which no number was found"),
    ],
)
def test_what_cannot_be_made_up_says_why_and_asks_for_an_example(event: type[Event], says: str) -> None:
    """Or for a file."""
    with pytest.raises(DefinitionError, match=says):
        sample_of(event)
