"""`broker records`."""

import argparse

from broker.cli.arguments.shared import at_cluster, command, subcommands


def define(parser: argparse.ArgumentParser) -> None:
    commands = subcommands(parser)

    made = command(
        commands,
        "produce",
        "produce_records:produce_records",
        "Write a record for each line of standard input.\n\n"
        "Keys go to partitions as the Java client sends them (murmur2).",
        "  echo hello | broker records produce greetings\n"
        "  broker records produce orders --key-separator : --header source=import < orders.txt\n"
        "  broker records read orders --json | broker records produce copies --from-json\n",
    )
    made.add_argument("topic", metavar="TOPIC")
    made.add_argument(
        "--key-separator", metavar="TEXT", help="a line is KEY, this, VALUE; without it there are no keys"
    )
    made.add_argument(
        "--header", action="append", default=[], metavar="NAME=VALUE", help="a header of every record; can be repeated"
    )
    made.add_argument("--partition", type=int, metavar="N", help="(default: by key, else spread)")
    made.add_argument(
        "--from-json",
        action="store_true",
        help="lines are as `broker records read --json` writes them; value null is a tombstone",
    )
    at_cluster(made)

    made = command(
        commands,
        "read",
        "read_records:read_records",
        "Read records from a place to the end that the topic has now.",
        "  broker records read orders --max 10\n"
        "  broker records read orders --from 2026-03-01T08:30Z --partition 3 --format value\n"
        "  broker records read orders --from 1000 --follow --json\n",
    )
    _of_topic(made)
    made.add_argument(
        "--from",
        dest="start",
        default="beginning",
        metavar="PLACE",
        help="beginning, end, an offset, -N, a time, or 15m, 2h, 3d (default: beginning)",
    )
    made.add_argument("--max", type=int, metavar="N", help="stop after so many records")
    _reads(made)
    at_cluster(made)

    made = command(
        commands,
        "tail",
        "read_records:tail_records",
        "Read the last records, and with --follow those that come.",
        "  broker records tail orders --follow\n  broker records tail orders --last 3 --partition 0\n",
    )
    _of_topic(made)
    made.add_argument("--last", type=int, default=10, metavar="N", help="of each partition (default: 10)")
    _reads(made)
    at_cluster(made)

    made = command(
        commands,
        "count",
        "read_records:count_records",
        "Count the records, by reading them.",
        "  broker records count orders\n  broker records count orders --uncommitted --json\n",
    )
    _of_topic(made)
    _isolation(made)
    at_cluster(made)


def _of_topic(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("topic", metavar="TOPIC")
    parser.add_argument("--partition", type=int, action="append", default=[], metavar="N", help="only this; repeatable")


def _isolation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--uncommitted", action="store_true", help="those of open and aborted transactions, too (default: committed)"
    )


def _reads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    parser.add_argument(
        "--format",
        choices=["full", "key-value", "value"],
        default="full",
        help="full: partition, offset, time, key, value and headers; key-value: with a tab between (default: full)",
    )
    _isolation(parser)
