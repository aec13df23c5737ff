"""What a command prints: a table for people, JSON for programs."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

_PIPE_COLUMNS = 1000

JsonValue = str | int | float | bool | None | Sequence["JsonValue"] | Mapping[str, "JsonValue"]
Row = Mapping[str, JsonValue]


def print_json(value: JsonValue) -> None:
    """One line of JSON on standard output, at once."""
    print_line(json.dumps(value, ensure_ascii=False))


def print_line(text: str) -> None:
    """One line on standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_note(text: str) -> None:
    """One line on standard error: what is neither the answer nor a refusal."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def print_rows(rows: Sequence[Row], *, as_json: bool, empty: str) -> None:
    """The rows as one JSON document, or as a table; *empty* is the table's sentence when there are none."""
    if as_json:
        print_json(rows)
    else:
        print_table(rows, empty=empty)


def print_done(answer: Row, sentence: str, *, as_json: bool) -> None:
    """What a change did: the answer as JSON, or the sentence."""
    if as_json:
        print_json(answer)
    else:
        print_line(sentence)


def print_table(rows: Sequence[Row], *, empty: str = "") -> None:
    """The rows as a table, with the first one's keys as headings; numbers to the right."""
    if not rows:
        print_line(empty)
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in rows[0]:
        is_number = all(isinstance(row[name], (int, float)) for row in rows)
        table.add_column(name.replace("_", " "), overflow="fold", justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*(Text(_shown(value)) for value in row.values()))
    # In a pipe there is no width to keep to, and a folded id could not be searched for.
    Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS).print(table)


def time_text(timestamp_ms: int) -> str | None:
    """ISO 8601 in UTC, to the millisecond; None for a time that was never given (-1)."""
    if timestamp_ms < 0:
        return None
    try:
        time = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError):
        return f"{timestamp_ms} ms"  # producers may write any number
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{timestamp_ms % 1000:03d}Z"


def _shown(value: JsonValue) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, str) or not isinstance(value, Sequence):
        return str(value)
    return ", ".join(_shown(each) for each in value)
