"""The two samples as a shop that moves: orders are placed over HTTP and settled."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from samples.demo.processes import Service
from tests.samples.conftest import free_port

SETTLED_WITHIN_SECONDS = 90.0
NAMES = ("order-service", "payment-service")


def place(orders: Service, first: int, count: int) -> None:
    """Orders `o-FIRST` and so on, of five customers."""
    with httpx.Client(timeout=30) as http:
        for number in range(first, first + count):
            line = {"sku": "apple", "quantity": 1, "price": "10.00"}
            order = {"order_id": f"o-{number}", "customer_id": f"c-{number % 5}", "lines": [line]}
            http.post(f"{orders.url}/orders", json=order).raise_for_status()


def settled(orders: Service, count: int) -> list[dict[str, str]]:
    """The rows of the orders when there are so many, all of them paid or rejected."""
    until = time.monotonic() + SETTLED_WITHIN_SECONDS
    while True:
        rows: list[dict[str, str]] = httpx.get(f"{orders.url}/orders", params={"limit": 1000}, timeout=10).json()
        if len(rows) == count and all(row["status"] in {"paid", "rejected"} for row in rows):
            return rows
        assert time.monotonic() < until, f"not settled: {rows}"
        time.sleep(0.1)


def started(directory: Path, environments: Mapping[str, Mapping[str, str]]) -> tuple[Service, Service]:
    """Both services when they answer; their settings by their names."""
    made = [
        Service(name, name.replace("-", "_"), free_port(), environments[name], directory / f"{name}.log")
        for name in NAMES
    ]
    for service in made:
        service.start()
    for service in made:
        service.await_ready(timeout_seconds=90)
    return made[0], made[1]


def run_eventbus(arguments: Sequence[str], settings: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """The command in a process of its own, with these settings and no others."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("EVENTBUS_")}
    return subprocess.run(
        [sys.executable, "-m", "eventbus.cli", *arguments],
        env={**others, **settings},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
