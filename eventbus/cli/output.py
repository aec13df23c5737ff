"""
What a command prints: a table for people, JSON for programs.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

_PIPE_COLUMNS: Final = 1000

JsonValue = str | int | float | bool | None | Sequence["JsonValue"] | Mapping[str, "JsonValue"]


def print_json(value: JsonValue) -> None:
    """One line of JSON on standard output, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def print_line(text: str) -> None:
    """One line on standard output."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_table(rows: Sequence[Mapping[str, JsonValue]], *, empty: str) -> None:
    """The rows as a table, with the first one's keys as headings; *empty* when there are none."""
    if not rows:
        print_line(empty)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        table.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row.values()))
    # In a pipe there is no width to keep to, and a folded id could not be searched for.
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table)


def time_text(time: datetime | None) -> str | None:
    """ISO 8601 in UTC, to the second."""
    return None if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _shown(value: JsonValue) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value)
