"""Where the demo plays: with nothing but Python, or on Apache Kafka and PostgreSQL, which are started for it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from samples.demo.processes import DemoFailed

SERVICES = {"order-service": "order_service", "payment-service": "payment_service"}


@dataclass(frozen=True, slots=True)
class Place:
    """
    settings    of each service, as its environment
    instances   of each service
    servers     the directory of the servers that were started, None when there are none
    """

    settings: Mapping[str, Mapping[str, str]]
    instances: int = 1
    servers: Path | None = field(default=None)

    def close(self) -> None:
        """Ends the servers and removes their data."""
        if self.servers is not None:
            subprocess.run(self.end_command(), check=False)

    def end_command(self) -> list[str]:
        """What ends the servers, for a hand that wants to look at them first."""
        return [sys.executable, "-m", "tests.servers", "down", str(self.servers)]


def find_place(directory: Path) -> Place:
    """By the variables BROKER and DATABASE; what they ask for is running when this returns. Raises DemoFailed."""
    asked = (os.environ.get("BROKER") or "embedded", os.environ.get("DATABASE") or "sqlite")
    if asked == ("embedded", "sqlite"):
        embedded = {"EVENTBUS_BROKER_URL": f"embedded:{directory}"}
        return Place(dict.fromkeys(SERVICES, embedded))
    if asked != ("kafka", "postgresql"):
        raise DemoFailed(
            f"BROKER={asked[0]} DATABASE={asked[1]} is neither the default (embedded, sqlite) nor the cluster: "
            "BROKER=kafka DATABASE=postgresql make demo"
        )
    servers = directory / "servers"
    if subprocess.run([sys.executable, "-m", "tests.servers", "up", str(servers)], check=False).returncode != 0:
        raise DemoFailed("Apache Kafka and PostgreSQL did not start")
    started = cast("dict[str, object]", json.loads((servers / "servers.json").read_text()))
    databases = cast("dict[str, str]", started["database_urls"])
    settings = {
        service: {
            "EVENTBUS_BROKER_URL": str(started["broker_url"]),
            "EVENTBUS_DATABASE_URL": databases[service],
        }
        for service in SERVICES
    }
    return Place(settings, instances=3, servers=servers)
