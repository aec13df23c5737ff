"""`broker serve`."""

import argparse
from pathlib import Path

DESCRIPTION = """\
Serves the Kafka protocol until SIGTERM or SIGINT. The first line on standard output is `listening on HOST:PORT`;
log lines go to standard error. Exit code 0 after a clean stop, 2 when something in the arguments, the
configuration, the data directory or the address has to be put right first. SIGUSR1 applies retention and compaction
at once."""

EXAMPLES = """\
examples:
  broker serve --data-dir ./data
      keeps its data in ./data and listens on 127.0.0.1:9092
  broker serve --data-dir ./data --listen 127.0.0.1:0 --ready-file ready.json
      takes a free port; ready.json tells it: {"host": "127.0.0.1", "port": 40123, "pid": 4711}
  broker serve --listen 0.0.0.0:9092 --advertise log.example.org:9092 --set log.retention.hours=24
      for clients on other machines; every Kafka broker setting can be given with --set or in a --config file
  broker serve --metrics-listen 127.0.0.1:9644
      tells Prometheus at /metrics, and whoever starts it at /healthz and /readyz
"""


def define(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.epilog = EXAMPLES
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where the log is kept; made when it is missing (default: log.dirs, else ./broker-data)",
    )
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        help="address to listen on; port 0 takes a free one, IPv6 as [::1]:9092 (default: 127.0.0.1:9092)",
    )
    parser.add_argument(
        "--advertise",
        metavar="HOST:PORT",
        help="address that clients are told to connect to (default: the listening one)",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="properties file with Kafka's broker settings")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="one setting, over the file's; can be repeated",
    )
    parser.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help="JSON with host, port and pid, written atomically when clients can connect",
    )
    parser.add_argument(
        "--while-locked",
        type=Path,
        metavar="FILE",
        help="stop, cleanly, when no process holds a shared flock on FILE any more; FILE stays locked till then",
    )
    parser.add_argument(
        "--metrics-listen",
        metavar="HOST:PORT",
        help="address for /metrics (Prometheus), /healthz and /readyz; port 0 takes a free one (default: none)",
    )
    parser.set_defaults(run="serve:run")
