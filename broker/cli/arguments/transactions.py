"""`broker transactions`."""

import argparse

from broker.cli.arguments.shared import at_cluster, command, executes, subcommands


def define(parser: argparse.ArgumentParser) -> None:
    commands = subcommands(parser)

    made = command(
        commands,
        "list",
        "transactions:list_transactions",
        "List the transactional ids and the states of their transactions.",
        "  broker transactions list --state Ongoing\n",
    )
    made.add_argument("--state", action="append", default=[], metavar="STATE", help="only these, such as Ongoing")
    at_cluster(made)

    made = command(
        commands,
        "describe",
        "transactions:describe_transactions",
        "Show a transactional id: its producer, since when its transaction is open, and where.",
        "  broker transactions describe order-relay-0\n",
    )
    made.add_argument("transactional_ids", nargs="+", metavar="ID")
    at_cluster(made)

    made = command(
        commands,
        "abort",
        "transactions:abort_transaction",
        "Abort the open transaction of a transactional id: a dry run, unless --execute.\n\n"
        "Readers of committed records stop before an open transaction. This takes the id over, which fences its\n"
        "producer: when that one is alive it gets an error and has to start again.",
        "  broker transactions abort order-relay-0 --execute\n",
    )
    made.add_argument("transactional_id", metavar="ID")
    executes(made, "abort it")
    at_cluster(made)
