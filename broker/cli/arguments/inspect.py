"""`broker inspect`."""

import argparse
from pathlib import Path

from broker.cli.arguments.shared import as_json, command, subcommands


def define(parser: argparse.ArgumentParser) -> None:
    commands = subcommands(parser)

    made = command(
        commands,
        "segment",
        "inspect_segment:inspect_segment",
        "Show the batches of a .log file, and whether each is whole.\n\n"
        "Reads the file only, also while a broker writes it. Exit code 1 where bytes are no whole, valid batch.",
        "  broker inspect segment data/orders-0/00000000000000000000.log\n"
        "  broker inspect segment data/orders-0/00000000000000000000.log --records --json\n",
    )
    _of_file(made)
    made.add_argument("--records", action="store_true", help="open the batches and show what is in them, too")

    made = command(
        commands,
        "index",
        "inspect_index:inspect_index",
        "Show the entries of an .index, .timeindex or .txnindex file, checked against the .log file beside it.\n\n"
        "Exit code 1 when one cannot be right; a broker makes offset and time indexes again when they are removed.",
        "  broker inspect index data/orders-0/00000000000000000000.index\n",
    )
    _of_file(made)

    made = command(
        commands,
        "producers",
        "inspect_producers:inspect_producers",
        "Show the producers in a .snapshot file: sequences, epochs, open transactions.",
        "  broker inspect producers data/orders-0/00000000000000000042.snapshot\n",
    )
    _of_file(made)


def _of_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE")
    as_json(parser)
