"""`broker bench`."""

import argparse
import os

from broker.cli.arguments.shared import BOOTSTRAP_DEFAULT, as_json


def define(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measures an address, or two of them in turns: MB/s produced and consumed, the round trip of one record, and\n"
        "one-record produce requests with 64 in flight on one connection. Everything that was written is read back\n"
        "and counted. Topics are called broker-bench-… and deleted afterwards. What is told is the median of the\n"
        "repetitions, with the least and the most; the ratio is that of the medians. Exit code 1 when a record was\n"
        "lost or doubled."
    )
    parser.epilog = (
        "examples:\n"
        "  broker bench 127.0.0.1:9092\n"
        "  broker bench 127.0.0.1:9092 --pid 4711 --compare 127.0.0.1:9192 --compare-pid 4712 --repeat 7\n"
    )
    parser.add_argument(
        "bootstrap",
        nargs="?",
        metavar="HOST:PORT",
        default=os.environ.get("BROKER_BOOTSTRAP", BOOTSTRAP_DEFAULT),
        help=f"any Kafka-protocol address (default: BROKER_BOOTSTRAP, else {BOOTSTRAP_DEFAULT})",
    )
    parser.add_argument("--compare", metavar="HOST:PORT", help="another address, measured in turns with the first")
    parser.add_argument(
        "--pid", type=int, metavar="PID", help="the server's process, where it is local: CPU and memory"
    )
    parser.add_argument("--compare-pid", type=int, metavar="PID", help="that of --compare")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="repetitions (default: 5)")
    parser.add_argument(
        "--megabytes", type=int, default=100, metavar="N", help="for each of the streams (default: 100)"
    )
    parser.add_argument(
        "--warm-up", type=int, default=1, metavar="N", help="repetitions that are not counted (default: 1)"
    )
    as_json(parser)
    parser.set_defaults(run="bench:bench")
