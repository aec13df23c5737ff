"""What `make cluster` and `make cluster-down` run."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from confluent_kafka.admin import AdminClient

from tests.interop.toolchain import kafka_jars, run

COMMAND = [sys.executable, "-m", "tests.servers"]


@pytest.mark.interop
@pytest.mark.anyio
async def test_the_servers_outlive_the_command_and_go_when_they_are_told_to(tmp_path: Path) -> None:
    """What is printed reaches a log and a database; a second call finds the same; in the end nothing is left."""
    kafka_jars()
    directory = tmp_path / "servers"
    try:
        printed = run([*COMMAND, "up", str(directory), "--nodes", "1"])
        settings = dict(re.findall(r"^export (\w+)='(.*)'$", printed, re.MULTILINE))
        assert settings.keys() == {"EVENTBUS_BROKER_URL", "EVENTBUS_DATABASE_URL"}
        bootstrap = settings["EVENTBUS_BROKER_URL"].removeprefix("kafka://")
        assert len(AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=20).brokers) == 1
        connection = await asyncpg.connect(settings["EVENTBUS_DATABASE_URL"])
        assert await connection.fetchval("SELECT current_database()") == "eventbus"
        await connection.close()
        assert run([*COMMAND, "up", str(directory), "--nodes", "1"]) == printed
        kept = Path(json.loads((directory / "servers.json").read_text())["postgres_directory"])
    finally:
        subprocess.run([*COMMAND, "down", str(directory)], check=True, timeout=60)
    assert not directory.exists()
    assert not kept.exists()
    host, port = bootstrap.split(":")
    with socket.socket() as probe:
        assert probe.connect_ex((host, int(port))) != 0
