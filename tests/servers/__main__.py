"""
Apache Kafka and PostgreSQL by hand: `python -m tests.servers up DIR`, `python -m tests.servers down DIR`.

They outlive the command. DIR/servers.json says what runs: the two settings, where PostgreSQL keeps its data, and the
process ids.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import psutil
import pytest

from tests.interop.toolchain import kafka_jars
from tests.servers.kafka_server import KafkaCluster
from tests.servers.postgres import PostgresServer

DATABASES = ("eventbus", "order-service", "payment-service")


class Servers(TypedDict):
    broker_url: str
    database_urls: dict[str, str]
    postgres_directory: str
    processes: list[tuple[int, float]]
    """Process id and creation time (seconds since the epoch): another process may have the number by now."""


def up(directory: Path, nodes: int) -> Servers:
    """Starts what does not run yet."""
    file = directory / "servers.json"
    if file.exists():
        found: Servers = json.loads(file.read_text())
        if all(_process(*each) for each in found["processes"]):
            return found
        down(directory)
    directory.mkdir(parents=True, exist_ok=True)
    cluster = KafkaCluster(kafka_jars(), directory / "kafka", nodes=nodes)
    # Short, and where its own user may enter.
    postgres_directory = Path(tempfile.mkdtemp(prefix="pg"))
    try:
        cluster.start()
        postgres = PostgresServer(postgres_directory, outlives=True)
        started: Servers = {
            "broker_url": cluster.url,
            "database_urls": {name: _new_database(postgres, name) for name in DATABASES},
            "postgres_directory": str(postgres_directory),
            "processes": [
                (pid, psutil.Process(pid).create_time())
                for pid in (*(node.pid for node in cluster.nodes), postgres.pid)
            ],
        }
        file.write_text(json.dumps(started, indent=2))
    except BaseException:
        cluster.close()
        raise
    return started


def _new_database(postgres: PostgresServer, name: str) -> str:
    postgres.create_database(name=f'"{name}"')
    return postgres.url(name)


def down(directory: Path) -> None:
    """Kills them: what they kept goes with them."""
    file = directory / "servers.json"
    if not file.exists():
        return
    found: Servers = json.loads(file.read_text())
    ended: list[psutil.Process] = []
    for each in found["processes"]:
        if process := _process(*each):
            ended += [process, *process.children(recursive=True)]
    for process in ended:
        process.kill()
    psutil.wait_procs(ended, timeout=15)
    shutil.rmtree(found["postgres_directory"], ignore_errors=True)
    shutil.rmtree(directory)


def _process(pid: int, created: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        is_same = abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if is_same else None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.servers", description=__doc__)
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("directory", type=Path, help="where they keep their data")
    parser.add_argument("--nodes", type=int, choices=[1, 3], default=3, help="of Apache Kafka (3)")
    options = parser.parse_args(arguments)
    directory: Path = options.directory.resolve()
    if options.what == "down":
        down(directory)
        return 0
    try:
        servers = up(directory, options.nodes)
    except pytest.skip.Exception as missing:
        print(missing.msg, file=sys.stderr)
        return 1
    print(f"export EVENTBUS_BROKER_URL='{servers['broker_url']}'")
    first, *others = servers["database_urls"]
    print(f"export EVENTBUS_DATABASE_URL='{servers['database_urls'][first]}'")
    print(f"# a database for each service: /{' and /'.join(others)} in the place of /{first}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
