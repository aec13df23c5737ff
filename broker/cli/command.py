"""
The commands of `broker` and their arguments.

argparse, because the broker is ready a quarter of a second after its process began and typer alone costs 60 ms of that.
A command's module is imported when the command runs, not before.
"""

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from broker.version import VERSION

EXIT_REFUSED = 2

_DESCRIPTION = """\
A log server that speaks the Kafka protocol: one process, one machine, no JVM.
Any Kafka client can use it; `broker serve` starts it."""

_EXAMPLES = """\
example:
  broker serve --data-dir ./data                 serves 127.0.0.1:9092
  kcat -b 127.0.0.1:9092 -L                      shows its topics
"""

_SERVE_DESCRIPTION = """\
Serves the Kafka protocol until SIGTERM or SIGINT. The first line on standard output is `listening on HOST:PORT`;
log lines go to standard error. Exit code 0 after a clean stop, 2 when something in the arguments, the
configuration, the data directory or the address has to be put right first. SIGUSR1 applies retention and compaction
at once."""

_SERVE_EXAMPLES = """\
examples:
  broker serve --data-dir ./data
      keeps its data in ./data and listens on 127.0.0.1:9092
  broker serve --data-dir ./data --listen 127.0.0.1:0 --ready-file ready.json
      takes a free port; ready.json tells it: {"host": "127.0.0.1", "port": 40123, "pid": 4711}
  broker serve --listen 0.0.0.0:9092 --advertise log.example.org:9092 --set log.retention.hours=24
      for clients on other machines; every Kafka broker setting can be given with --set or in a --config file
"""


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="broker",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"broker {VERSION}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    serve = commands.add_parser(
        "serve",
        help="serve the Kafka protocol from a data directory",
        description=_SERVE_DESCRIPTION,
        epilog=_SERVE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    serve.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="where the log is kept; made when it is missing (default: log.dirs, else ./broker-data)",
    )
    serve.add_argument(
        "--listen",
        metavar="HOST:PORT",
        help="address to listen on; port 0 takes a free one, IPv6 as [::1]:9092 (default: 127.0.0.1:9092)",
    )
    serve.add_argument(
        "--advertise",
        metavar="HOST:PORT",
        help="address that clients are told to connect to (default: the listening one)",
    )
    serve.add_argument("--config", type=Path, metavar="FILE", help="properties file with Kafka's broker settings")
    serve.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="one setting, over the file's; can be repeated",
    )
    serve.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help="JSON with host, port and pid, written atomically when clients can connect",
    )
    serve.add_argument(
        "--while-locked",
        type=Path,
        metavar="FILE",
        help="stop, cleanly, when no process holds a shared flock on FILE any more; FILE stays locked till then",
    )
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code. argparse exits by itself: 0 after --help, 2 for what it cannot read."""
    parsed = parser().parse_args(arguments)
    # Nothing that an import makes is garbage; the broker turns the collector on again when it is ready.
    gc.disable()
    from broker.cli.serve import Refused, ServeArguments, serve

    try:
        return serve(
            ServeArguments(
                data_dir=parsed.data_dir,
                listen=parsed.listen,
                advertise=parsed.advertise,
                config=parsed.config,
                settings=tuple(parsed.settings),
                ready_file=parsed.ready_file,
                while_locked=parsed.while_locked,
            )
        )
    except Refused as refused:
        print(f"broker serve: {refused}", file=sys.stderr)  # noqa: T201  # the command's answer to its caller
        return EXIT_REFUSED
