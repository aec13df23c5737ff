"""What the arguments of several commands have in common."""

import argparse
import os
from typing import Protocol


class Commands(Protocol):
    """What argparse's add_subparsers gives."""

    def add_parser(
        self,
        name: str,
        *,
        help: str,  # noqa: A002  # argparse's own name
        description: str,
        epilog: str,
        formatter_class: type[argparse.HelpFormatter],
        allow_abbrev: bool,
    ) -> argparse.ArgumentParser: ...


BOOTSTRAP_DEFAULT = "127.0.0.1:9092"


class Define(Protocol):
    def __call__(self, parser: argparse.ArgumentParser) -> None: ...


def subcommands(parser: argparse.ArgumentParser) -> Commands:
    """Where the commands of a group go."""
    return parser.add_subparsers(metavar="COMMAND", required=True)


def command(commands: Commands, name: str, run: str, text: str, examples: str) -> argparse.ArgumentParser:
    """One command: *run* is `module:function` below broker.cli; the first line of *text* is its help."""
    made = commands.add_parser(
        name,
        help=text.partition("\n")[0].rstrip("."),
        description=text,
        epilog="examples:\n" + examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.set_defaults(run=run)
    return made


def at_cluster(parser: argparse.ArgumentParser) -> None:
    """The options of every command that asks a running cluster."""
    where = parser.add_argument_group("where")
    where.add_argument(
        "--bootstrap",
        metavar="HOST:PORT,…",
        default=os.environ.get("BROKER_BOOTSTRAP", BOOTSTRAP_DEFAULT),
        help=f"any Kafka-protocol address (default: BROKER_BOOTSTRAP, else {BOOTSTRAP_DEFAULT})",
    )
    where.add_argument(
        "--client",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of librdkafka, such as security.protocol=SSL; can be repeated",
    )
    as_json(parser)


def as_json(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="write JSON, for programs")


def executes(parser: argparse.ArgumentParser, what: str) -> None:
    """--execute, without which nothing is changed."""
    parser.add_argument("--execute", action="store_true", help=f"{what}; without it, only tell what would be")
