"""`broker topics`."""

import argparse

from broker.cli.arguments.shared import at_cluster, command, subcommands


def define(parser: argparse.ArgumentParser) -> None:
    commands = subcommands(parser)

    made = command(
        commands,
        "list",
        "topics:list_topics",
        "List the topics, with their partitions and records.",
        "  broker topics list\n  broker topics list --internal --json\n",
    )
    made.add_argument("--internal", action="store_true", help="those of the cluster itself, too (__consumer_offsets …)")
    at_cluster(made)

    made = command(
        commands,
        "describe",
        "topics:describe_topics",
        "Show partitions, offsets, sizes, and the configs that are not the default.\n\n"
        "`end` is the offset behind the last record, `stable` the one up to which committed readers read.",
        "  broker topics describe orders\n",
    )
    made.add_argument("topics", nargs="+", metavar="TOPIC")
    at_cluster(made)

    made = command(
        commands,
        "create",
        "topics:create_topic",
        "Create a topic.",
        "  broker topics create orders --partitions 12\n"
        "  broker topics create customers --config cleanup.policy=compact --config min.compaction.lag.ms=60000\n",
    )
    made.add_argument("topic", metavar="TOPIC")
    made.add_argument("--partitions", type=int, metavar="N", help="(default: the cluster's num.partitions)")
    made.add_argument("--replication-factor", type=int, metavar="N", help="(default: the cluster's)")
    made.add_argument("--config", action="append", default=[], metavar="KEY=VALUE", help="can be repeated")
    at_cluster(made)

    made = command(
        commands,
        "delete",
        "topics:delete_topics",
        "Delete topics and everything in them.",
        "  broker topics delete orders\n",
    )
    made.add_argument("topics", nargs="+", metavar="TOPIC")
    at_cluster(made)

    made = command(
        commands,
        "add-partitions",
        "topics:add_partitions",
        "Give a topic more partitions.\n\n"
        "Keys go to other partitions from then on: the order per key holds before and after, not across.",
        "  broker topics add-partitions orders 24\n",
    )
    made.add_argument("topic", metavar="TOPIC")
    made.add_argument("total", type=int, metavar="TOTAL", help="how many there are to be")
    at_cluster(made)

    made = command(
        commands,
        "delete-records",
        "topics:delete_records",
        "Delete the records before an offset, a time, or all that are there.",
        "  broker topics delete-records orders --before 1000 --partition 0\n"
        "  broker topics delete-records orders --before 7d\n"
        "  broker topics delete-records orders --before end\n",
    )
    made.add_argument("topic", metavar="TOPIC")
    made.add_argument("--before", required=True, metavar="PLACE", help="an offset, end, -N, a time, or 15m, 2h, 3d")
    made.add_argument("--partition", type=int, action="append", default=[], metavar="N", help="only this; repeatable")
    at_cluster(made)
