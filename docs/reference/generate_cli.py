"""
Writes `cli.md` from the commands themselves: `python docs/reference/generate_cli.py`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click
from typer.main import get_command
from typer.testing import CliRunner

from eventbus.cli.command import app

PAGE = Path(__file__).parent / "cli.md"
HEAD = """\
# Command line

`eventbus` looks after services; `python -m eventbus.cli` is the same command.

| exit code | |
|---|---|
| 0 | done |
| 1 | it could not be done now: the broker or the database is away, a rebuild was refused; the text says why |
| 2 | something in the arguments, the settings or the application has to be mended first; the text says what |
| 130 | interrupted by Ctrl-C; a rebuild goes on where it was when it is started again |

The texts are one sentence on standard error.

With `--json` a command writes one JSON document on standard output. `projections rebuild --json` writes a line for
each step (`phase` is `building`, `switching`, `comparing`, `live`, for a kept one `built`; from the store also `reading
the event store`, `waiting for the relay`, `waiting for the live view`; `done` and `total` are offsets, events while the
store is read; `seconds_left` is null until there is a rate) and one for the result. So do `switch` and `rollback`.
`run --json` writes its log as JSON lines on standard error.

What a rebuild does, and what happens when it is killed, is told in
[ADR 5](../adr/0005-a-rebuild-stops-the-live-projection-by-claiming-its-checkpoints.md).

This page is generated from the commands.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, _section(""), *(_section(command) for command in _commands(get_command(app)))])


def _commands(command: click.Command, name: str = "") -> Iterator[str]:
    """The commands below a group, in the order of `--help`."""
    for child_name, child in getattr(command, "commands", {}).items():
        path = f"{name} {child_name}".strip()
        if hasattr(child, "commands"):
            yield from _commands(child, path)
        else:
            yield path


def _section(command: str) -> str:
    arguments = [*command.split(), "--help"]
    runner = CliRunner(env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"})
    text = runner.invoke(app, arguments, prog_name="eventbus", catch_exceptions=False, terminal_width=100).stdout
    text = re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE).strip()
    return f"## {' '.join(['eventbus', command]).strip()}\n\n```text\n{text}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
