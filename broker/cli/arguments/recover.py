"""`broker recover`."""

import argparse
from pathlib import Path

from broker.cli.arguments.shared import as_json


def define(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Does offline what `broker serve` does at a start after a crash: reads what is behind the recovery points,\n"
        "cuts torn tails, rebuilds indexes, and leaves the directory as a clean stop does. With --check nothing but\n"
        "the .lock file is written: the same recovery runs, and its writes go nowhere. Refused while a broker has the\n"
        "directory. Exit code 1 when bytes are (or would be) cut, or a partition cannot be opened."
    )
    parser.epilog = "examples:\n  broker recover --check ./data\n  broker recover ./data\n"
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("--check", action="store_true", help="only tell what recovery would do")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the broker's properties file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help="as of serve")
    as_json(parser)
    parser.set_defaults(run="recover:recover")
