"""The demo says what is wrong with its ports before it starts anything."""

import socket
from collections.abc import Iterator

import pytest

from samples.demo.processes import DemoFailed, refuse_taken_ports
from tests.samples.conftest import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_free_ports_are_not_complained_about() -> None:
    """Two different ones that nobody listens on."""
    refuse_taken_ports({"ORDER_PORT": free_port(), "PAYMENT_PORT": free_port()})


def test_a_taken_port_is_refused_with_a_command_that_avoids_it(taken: int) -> None:
    """The text names the port, and the variable with another value that is a port."""
    with pytest.raises(DemoFailed, match=rf"port {taken} is not free .* PAYMENT_PORT=(\d+) make demo") as refused:
        refuse_taken_ports({"ORDER_PORT": free_port(), "PAYMENT_PORT": taken})
    suggested = int(str(refused.value).split("PAYMENT_PORT=")[1].split()[0])
    assert suggested != taken
    assert 0 < suggested < 65536


def test_one_port_for_both_services_is_refused_with_both_variables() -> None:
    """Otherwise the second service ends while the first one takes its orders."""
    port = free_port()
    with pytest.raises(DemoFailed, match=f"ORDER_PORT and PAYMENT_PORT are both {port}"):
        refuse_taken_ports({"ORDER_PORT": port, "PAYMENT_PORT": port})
