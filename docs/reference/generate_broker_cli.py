"""
Writes `broker.md` from the commands themselves: `python docs/reference/generate_broker_cli.py`.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

from broker.cli.command import COMMANDS, parser

PAGE = Path(__file__).parent / "broker.md"
HEAD = """\
# Command line of the broker

`broker` serves the Kafka protocol and looks into it; `python -m broker` is the same command. The commands `topics` to
`transactions`, and `bench`, work with any Kafka-protocol address, Apache Kafka's too; `inspect` and `recover` work on
files.

| exit code | |
|---|---|
| 0 | done |
| 1 | what was looked at is damaged (`inspect`, `recover`), or lost records (`bench`) |
| 2 | something has to be put right first; one sentence on standard error says what |
| 130 | interrupted by Ctrl-C |

With `--json` a command writes one JSON document on standard output; `records read`, `records tail` and
`inspect segment` write a line for each record or batch. What is only told, as that a change is slow to spread, goes to
standard error.

Transactions, and the sizes of partitions, are asked in the clear: librdkafka has no calls for them. On a cluster with
TLS or a login (`--client security.protocol=SSL …`) the sizes are left out and `transactions` is refused.

This page is generated from the commands.
"""


def page() -> str:
    """The whole page."""
    os.environ["COLUMNS"] = "100"
    os.environ.pop("BROKER_BOOTSTRAP", None)
    return "\n".join([HEAD, *(_section(each) for each in _all(parser(*COMMANDS)))])


def _all(command: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The command, and the commands in it."""
    yield command
    for action in command._actions:  # argparse tells of its subcommands nowhere else
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                yield from _all(each)


def _section(command: argparse.ArgumentParser) -> str:
    text = "\n".join(line.rstrip() for line in command.format_help().strip().splitlines())
    return f"## {command.prog}\n\n```text\n{text}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
