import pytest
from sqlalchemy import Column, ForeignKey, Index, MetaData, Table, Text
from sqlalchemy.ext.asyncio import AsyncConnection

from eventbus.errors import DefinitionError
from eventbus.projections import Projection, projects
from eventbus.projections.naming import part_name
from eventbus.testing.contracts.orders import OrderPlaced, Turnover, turnover


def test_each_generation_has_tables_indexes_and_constraints_of_its_own_name() -> None:
    """PostgreSQL's index names are per schema: two generations lie beside each other."""
    first, second = Turnover.tables(1)[0], Turnover.tables(2)[0]
    assert (first.name, second.name) == ("view_turnover_1_turnover", "view_turnover_2_turnover")
    (first_index,), (second_index,) = first.indexes, second.indexes
    assert first_index.name != second_index.name


def test_a_method_reaches_the_table_of_its_generation_through_the_declared_one() -> None:
    """And is told when it asks for one that the class does not declare."""
    projection = Turnover.at(Turnover.tables(3))
    assert projection.table(turnover).name == "view_turnover_3_turnover"
    with pytest.raises(KeyError, match="'other' is not in tables= of Turnover"):
        projection.table(Table("other", MetaData(), Column("id", Text, primary_key=True)))


def test_an_index_name_that_postgresql_would_refuse_is_shortened_and_stays_its_own() -> None:
    """Two generations' names differ at their beginning, two indexes' at their end: the checksum keeps them apart."""
    names = {part_name(f"view_x_{generation}", "i" * 70 + end) for generation in (1, 2) for end in "ab"}
    assert len(names) == 4
    assert {len(name) for name in names} == {63}


def declare(*tables: Table, name: str | None = None) -> None:
    class Declared(Projection, topics=["orders"], tables=tables, name=name):
        @projects(OrderPlaced)
        async def placed(self, event: OrderPlaced, connection: AsyncConnection) -> None: ...


def test_tables_that_cannot_be_renamed_are_refused() -> None:
    """A foreign key names another table; without a primary key two generations cannot be compared."""
    metadata = MetaData()
    parent = Table("parent", metadata, Column("id", Text, primary_key=True))
    child = Table("child", metadata, Column("id", Text, ForeignKey("parent.id"), primary_key=True))
    with pytest.raises(DefinitionError, match="'child' has a foreign key"):
        declare(parent, child)
    with pytest.raises(DefinitionError, match="'keyless' has no primary key"):
        declare(Table("keyless", metadata, Column("id", Text)))
    with pytest.raises(DefinitionError, match="declare the SQLAlchemy tables"):
        declare()


def test_a_name_that_postgresql_would_cut_is_refused() -> None:
    """Cut names collide, and only on PostgreSQL."""
    table = Table("t", MetaData(), Column("id", Text, primary_key=True), Index("i", "id"))
    with pytest.raises(DefinitionError, match="bytes too long: give a shorter name="):
        declare(table, name="x" * 60)
    with pytest.raises(DefinitionError, match="use lower-case letters"):
        declare(table, name="Orders")
