"""
The commands of `broker`.

argparse, because the broker is ready a quarter of a second after its process began and typer alone costs 60 ms of that.
The arguments of a command are defined when it is called, and what it runs is imported then; so are librdkafka and rich.
"""

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

from broker.cli.arguments.shared import Define
from broker.cli.refused import Refused
from broker.version import VERSION

EXIT_REFUSED = 2
_EXIT_INTERRUPTED = 130

_DESCRIPTION = """\
A log server that speaks the Kafka protocol: one process, one machine, no JVM.
Any Kafka client can use it; `broker serve` starts it. The commands from topics to transactions, and bench, work with
any Kafka-protocol address; inspect and recover work on files."""

_EXAMPLES = """\
examples:
  broker serve --data-dir ./data                 serves 127.0.0.1:9092
  broker topics list                             shows its topics
  broker records tail orders --follow            shows what comes
  kcat -b 127.0.0.1:9092 -L                      any Kafka client will do

exit codes: 0 done, 1 damage found, 2 something has to be put right first (standard error says what), 130 Ctrl-C
"""

COMMANDS = {
    "serve": "serve the Kafka protocol from a data directory",
    "topics": "list, describe, create, delete, add partitions, delete records",
    "records": "produce, read, tail, count",
    "groups": "list, describe with lag, reset offsets, delete",
    "configs": "show, set, unset",
    "transactions": "list, describe, abort",
    "inspect": "show segments, indexes and producer snapshots, offline",
    "bench": "measure one address, or two in turns",
    "recover": "recover a data directory offline, or tell what recovery would do",
}


def parser(*commands: str) -> argparse.ArgumentParser:
    """The command line, with the arguments of *commands*; the others have their names only."""
    top = argparse.ArgumentParser(
        prog="broker",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"broker {VERSION}")
    named = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        made = named.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        if name in commands:
            define = cast("Define", import_module(f"broker.cli.arguments.{name}").define)
            define(made)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code. argparse exits by itself: 0 after --help, 2 for what it cannot read."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = parser(*given[:1]).parse_args(given)
    # Nothing that an import makes is garbage; the broker turns the collector on again when it is ready.
    gc.disable()
    module, _, function = cast("str", parsed.run).partition(":")
    run = cast("Callable[[argparse.Namespace], int]", getattr(import_module(f"broker.cli.{module}"), function))
    command: str = parsed.command
    try:
        return run(parsed)
    except Refused as refused:
        print(f"broker {command}: {refused}", file=sys.stderr)  # noqa: T201  # the command's answer to its caller
        return EXIT_REFUSED
    except KeyboardInterrupt:
        return _EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; the interpreter would say so when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
