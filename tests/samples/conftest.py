"""Both sample services as running processes over one embedded broker, started once for the session."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from samples.demo.processes import Service


@dataclass
class Samples:
    orders: Service
    payments: Service
    directory: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def make_samples(directory: Path) -> Samples:
    environment = {"EVENTBUS_BROKER_URL": f"embedded:{directory}"}
    return Samples(
        Service("order-service", "order_service", free_port(), environment, directory / "order.log"),
        Service("payment-service", "payment_service", free_port(), environment, directory / "payment.log"),
        directory,
    )


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Samples]:
    running = make_samples(tmp_path_factory.mktemp("samples"))
    running.orders.start()
    running.payments.start()
    try:
        running.orders.await_ready()
        running.payments.await_ready()
        yield running
    finally:
        running.orders.kill()
        running.payments.kill()
