"""
Writes `tables.md` from `eventbus/database/tables.py`: `python docs/reference/generate_tables.py`.
"""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Table, UniqueConstraint
from sqlalchemy.dialects import postgresql, sqlite

from eventbus.database.migrations import REVISIONS, VERSION_TABLE
from eventbus.database.tables import metadata

PAGE = Path(__file__).parent / "tables.md"
HEAD = f"""# Tables

What the framework keeps in a service's database, as of schema revision `{REVISIONS[-1]}`. Everything begins with
`eventbus_`; the service's own tables, and those of its projections, live beside it. `eventbus database upgrade` makes
and changes these tables (Alembic, version table `{VERSION_TABLE}`); the first start of a service in an empty
database makes them by itself. Times are UTC: `timestamptz` on PostgreSQL, text such as `2026-01-31T12:00:00.000000Z`
on SQLite.

This page is generated from `eventbus/database/tables.py`.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(line for table in metadata.tables.values() for line in _section(table))])


def _section(table: Table) -> Iterator[str]:
    yield f"## {table.name}\n"
    yield f"{table.info['doc']}\n"
    yield "| column | PostgreSQL | SQLite | null | |"
    yield "|---|---|---|---|---|"
    for column in table.columns:
        types = [str(column.type.compile(dialect())).lower() for dialect in (postgresql.dialect, sqlite.dialect)]
        types[0] = types[0].replace("timestamp with time zone", "timestamptz")
        yield f"| `{column.name}` | {types[0]} | {types[1]} | {'yes' if column.nullable else ''} | {column.doc or ''} |"
    yield ""
    keys = [f"primary key ({_names(table.primary_key.columns.keys())})"]
    keys += [
        f"unique ({_names(constraint.columns.keys())})"
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        condition = index.dialect_options["postgresql"]["where"]
        where = "" if condition is None else f" where `{condition}`"
        keys.append(f"{'unique' if index.unique else 'index'} ({_names(index.columns.keys())}){where}")
    yield f"Keys: {'; '.join(keys)}.\n"


def _names(names: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(page())
