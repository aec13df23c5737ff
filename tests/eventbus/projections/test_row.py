import importlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NewType
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, ValidationError
from sqlalchemy import BigInteger, LargeBinary, Text

from eventbus.database.times import UtcTime
from eventbus.errors import DefinitionError
from eventbus.projections import Row
from eventbus.projections.columns import ExactDecimal, JsonDocument
from eventbus.projections.row import row_shape

OrderId = NewType("OrderId", str)


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Line(BaseModel):
    price: Decimal


@dataclass
class Address:
    city: str


class Everything(Row, key="id"):
    id: OrderId
    count: int
    price: Annotated[Decimal, Field(gt=0)]
    at: datetime
    day: date
    uuid: UUID
    yes: bool
    ratio: float
    raw: bytes
    colour: Colour
    level: Level
    state: Literal["new", "old"]
    lines: list[Line]
    address: Address | None = None
    note: str | None = None


def everything() -> Everything:
    return Everything(
        id=OrderId("o-1"),
        count=2**40,
        price=Decimal("1.50"),
        at=datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
        day=date(2026, 1, 2),
        uuid=UUID(int=7),
        yes=True,
        ratio=0.1,
        raw=b"\x00\xff",
        colour=Colour.RED,
        level=Level.LOW,
        state="new",
        lines=[Line(price=Decimal("0.10"))],
        address=Address("Rome"),
    )


def test_each_field_gets_the_column_of_its_type() -> None:
    """Annotated, NewType and `| None` are looked through; models and lists become JSON."""
    table = row_shape(Everything).table("t")
    types = {column.name: type(column.type) for column in table.columns}
    assert types["id"] is Text
    assert types["count"] is BigInteger
    assert types["price"] is ExactDecimal
    assert types["at"] is UtcTime
    assert types["raw"] is LargeBinary
    assert types["colour"] is types["state"] is Text
    assert types["level"] is BigInteger
    assert types["lines"] is types["address"] is JsonDocument
    assert [column.name for column in table.columns if column.nullable] == ["address", "note"]
    assert [column.name for column in table.primary_key] == ["id"]


def test_values_are_what_the_columns_take() -> None:
    """Enums become their values, models JSON; the model takes both back."""
    row = everything()
    held = {column.name: (column, getattr(row, column.name)) for column in row_shape(Everything).columns}
    values = {
        name: value if column.dump is None or value is None else column.dump(value)
        for name, (column, value) in held.items()
    }
    assert values["colour"] == "red"
    assert values["level"] == 1
    assert values["lines"] == [{"price": "0.10"}]
    assert values["note"] is None
    assert Everything.model_validate(values) == row


def test_a_replaced_field_is_validated() -> None:
    """`replace` is no way around the model."""
    row = everything()
    assert row.replace(count=3).count == 3
    with pytest.raises(ValidationError):
        row.replace(price=Decimal(-1))
    with pytest.raises(ValidationError):
        row.replace(prise=Decimal(1))


def test_what_a_row_has_computed_is_no_field_of_its_copy() -> None:
    """A cached property lies among the fields."""

    class Priced(Row, key="sku"):
        sku: str
        net: int

        @cached_property
        def gross(self) -> int:
            return self.net * 2

    row = Priced(sku="s", net=1)
    assert row.gross == 2
    assert row.replace(net=2).gross == 4


def test_a_row_may_name_a_class_that_comes_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its table is made when a projection needs it."""
    (tmp_path / "later_rows.py").write_text(
        "from __future__ import annotations\n"
        "from pydantic import BaseModel\n"
        "from eventbus.projections import Row\n"
        "class Cart(Row, key='id'):\n    id: str\n    lines: list[CartLine]\n"
        "class CartLine(BaseModel):\n    price: int\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    cart = importlib.import_module("later_rows").Cart
    assert isinstance(row_shape(cart).table("t").c["lines"].type, JsonDocument)


def test_a_row_without_a_key_is_refused() -> None:
    """The text shows the class statement that is right."""
    with pytest.raises(DefinitionError, match=r'class Keyless\(Row, key="…"\)'):

        class Keyless(Row):
            id: str


def test_a_key_that_is_no_field_is_refused() -> None:
    """The text names the fields."""
    with pytest.raises(DefinitionError, match="key 'order' is no field; the fields are order_id"):

        class Misspelt(Row, key="order"):
            order_id: str


def test_a_misspelt_class_keyword_is_refused() -> None:
    """As Python says it."""
    with pytest.raises((TypeError, DefinitionError)):

        class Misspelt(Row, kei="order_id"):
            order_id: str


@pytest.mark.parametrize("kind", [timedelta, set[str], list[set[int]], object, complex])
def test_a_field_that_no_column_can_hold_is_refused(kind: object) -> None:
    """The text names the field and what is possible instead."""
    with pytest.raises(DefinitionError, match=r"field 'odd': .*A row's field is one of"):
        type("Odd", (Row,), {"__annotations__": {"id": str, "odd": kind}, "__module__": __name__}, key="id")


@pytest.mark.parametrize("kind", [str | None, Decimal, float, list[str]])
def test_a_key_that_can_be_written_in_two_ways_is_refused(kind: object) -> None:
    """None is no key, and 5 and 5.0 are one key in Python and two in a table."""
    with pytest.raises(DefinitionError, match="key field 'id'"):
        type("Odd", (Row,), {"__annotations__": {"id": kind}, "__module__": __name__}, key="id")


def test_a_key_of_several_fields_is_the_primary_key_in_its_order() -> None:
    """The key's order, not the fields'."""

    class Line2(Row, key=("order_id", "number")):
        number: int
        text: str
        order_id: str

    table = row_shape(Line2).table("t")
    assert [column.name for column in table.primary_key] == ["order_id", "number"]
    assert row_shape(Line2).key(Line2(number=1, text="", order_id="o")) == ("o", 1)
