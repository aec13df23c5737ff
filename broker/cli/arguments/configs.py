"""`broker configs`."""

import argparse

from broker.cli.arguments.shared import at_cluster, command, subcommands


def define(parser: argparse.ArgumentParser) -> None:
    commands = subcommands(parser)

    made = command(
        commands,
        "show",
        "configs:show_configs",
        "Show the configs of a topic, a broker or a group.\n\nThose that are not the default are marked with *.",
        "  broker configs show topic orders\n  broker configs show broker 1 --all\n",
    )
    _of_resource(made)
    made.add_argument("--all", action="store_true", help="those with their default value, too")
    at_cluster(made)

    made = command(
        commands,
        "set",
        "configs:set_configs",
        "Set configs; the others stay as they are.",
        "  broker configs set topic orders retention.ms=604800000 cleanup.policy=delete\n",
    )
    _of_resource(made)
    made.add_argument("settings", nargs="+", metavar="KEY=VALUE")
    at_cluster(made)

    made = command(
        commands,
        "unset",
        "configs:unset_configs",
        "Give configs their default back.",
        "  broker configs unset topic orders retention.ms\n",
    )
    _of_resource(made)
    made.add_argument("keys", nargs="+", metavar="KEY")
    at_cluster(made)


def _of_resource(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=["topic", "broker", "group"], metavar="KIND", help="topic, broker or group")
    parser.add_argument("name", metavar="NAME", help="the topic, the broker's number, the group")
