"""`broker groups`."""

import argparse

from broker.cli.arguments.shared import at_cluster, command, executes, subcommands


def define(parser: argparse.ArgumentParser) -> None:
    commands = subcommands(parser)

    made = command(commands, "list", "groups:list_groups", "List the consumer groups.", "  broker groups list\n")
    at_cluster(made)

    made = command(
        commands,
        "describe",
        "groups:describe_groups",
        "Show a group's members, what it has committed, and its lag.\n\n"
        "The lag is the distance from the committed offset to the last stable one.",
        "  broker groups describe billing\n",
    )
    made.add_argument("groups", nargs="+", metavar="GROUP")
    at_cluster(made)

    made = command(
        commands,
        "reset-offsets",
        "reset_offsets:reset_offsets",
        "Set where a group goes on: a dry run, unless --execute.\n\n"
        "Refused while the group has members. Without --topic it is every partition that the group has committed.\n"
        "In JSON, `executed` says whether it was done.",
        "  broker groups reset-offsets billing --to-earliest\n"
        "  broker groups reset-offsets billing --topic orders --to-time 2026-03-01T08:30Z --execute\n"
        "  broker groups reset-offsets billing --topic orders:0,1 --shift-by -100 --execute\n",
    )
    made.add_argument("group", metavar="GROUP")
    made.add_argument(
        "--topic",
        action="append",
        default=[],
        metavar="TOPIC[:PARTITION,…]",
        help="only these; can be repeated",
    )
    target = made.add_mutually_exclusive_group(required=True)
    target.add_argument("--to-earliest", action="store_true", help="the first record that is there")
    target.add_argument("--to-latest", action="store_true", help="the end of the log")
    target.add_argument("--to-offset", type=int, metavar="N", help="an offset, or the end of the log that it is behind")
    target.add_argument(
        "--to-time", metavar="TIME", help="the first record at or after 2026-03-01T08:30Z, ms since 1970, or 15m ago"
    )
    target.add_argument("--shift-by", type=int, metavar="N", help="so many offsets on, or back with -N")
    executes(made, "commit the offsets")
    at_cluster(made)

    made = command(
        commands,
        "delete",
        "groups:delete_groups",
        "Delete groups and what they have committed. Refused while a group has members.",
        "  broker groups delete billing\n",
    )
    made.add_argument("groups", nargs="+", metavar="GROUP")
    at_cluster(made)
