"""
Whether two generations hold the same rows; asked in one snapshot, before one takes the other's place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import JSON, ColumnElement, Select, Table, Text, cast, except_, func, inspect, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

DIFFERENCES_SHOWN_MAX = 10


@dataclass(frozen=True, slots=True)
class TableComparison:
    """One table of the live generation beside its new one."""

    table: str
    live_rows: int | None
    """None: the live generation has no such table."""
    new_rows: int
    differing_keys: tuple[str, ...]
    """Keys whose rows differ or are in one generation only, DIFFERENCES_SHOWN_MAX at most; empty when only counted."""


async def compare(
    connection: AsyncConnection, live: Sequence[Table], new: Sequence[Table], *, rows: bool
) -> list[TableComparison]:
    """Counts the tables and, with *rows*, compares every row. *connection* is a snapshot."""
    compared: list[TableComparison] = []
    for live_table, new_table in zip(live, new, strict=True):
        differing: dict[str, None] = {}
        if rows:
            for one, other in ((live_table, new_table), (new_table, live_table)):
                result = await connection.execute(_only_in(one, other))
                differing |= dict.fromkeys(", ".join(map(str, values)) for values in result)
        compared.append(
            TableComparison(
                new_table.name,
                await count_rows(connection, live_table) if rows or await _exists(connection, live_table) else None,
                await count_rows(connection, new_table),
                tuple(sorted(differing))[:DIFFERENCES_SHOWN_MAX],
            )
        )
    return compared


async def count_rows(connection: AsyncConnection, table: Table) -> int:
    """How many rows a table has."""
    return (await connection.execute(select(func.count()).select_from(table))).scalar_one()


async def _exists(connection: AsyncConnection, table: Table) -> bool:
    return await connection.run_sync(lambda sync: inspect(sync).has_table(table.name))


def _only_in(one: Table, other: Table) -> Select[tuple[object, ...]]:
    difference = except_(select(*_comparable(one)), select(*_comparable(other))).subquery()
    keys = [difference.c[column.name] for column in one.primary_key.columns]
    return select(*keys).order_by(*keys).limit(DIFFERENCES_SHOWN_MAX)


def _comparable(table: Table) -> list[ColumnElement[Any]]:  # pyright: ignore[reportExplicitAny]  columns of any type
    """PostgreSQL's json, unlike jsonb, has no equality."""
    return [
        cast(column, Text).label(column.name)
        if isinstance(column.type, JSON) and not isinstance(column.type, JSONB)
        else column
        for column in table.columns
    ]
