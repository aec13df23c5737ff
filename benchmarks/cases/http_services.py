"""
The two services of the demo, as processes: a command over HTTP to the order service, the payment service's answer to
its event, and the order seen as paid or rejected in the first one's view, over HTTP again.
"""

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final

import httpx

from benchmarks.case import Case, Contestant, Doing, Figures, Measure, Unsound
from benchmarks.figures import percentile
from benchmarks.room import Room
from samples.demo.ledger import FINAL, OrderRequest, order_requests
from samples.demo.processes import Service

_SETTLES_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.002


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


class _Services:
    """An order and a payment service on a broker of their own."""

    def __init__(self, directory: Path, databases: tuple[str, str] | None) -> None:
        directory.mkdir()
        order_port, payment_port = _free_ports()
        self._services: list[Service] = []
        for name, port, database in zip(
            ("order", "payment"), (order_port, payment_port), databases or (None, None), strict=True
        ):
            environment = {"EVENTBUS_BROKER_URL": f"embedded:{directory}"}
            if database is not None:
                environment["EVENTBUS_DATABASE_URL"] = database
            log = directory / f"{name}.log"
            self._services.append(Service(f"{name}-service", f"{name}_service", port, environment, log))
        self._requests = order_requests(seed=31)
        self._http = httpx.Client(base_url=self._services[0].url, timeout=30)

    def start(self) -> None:
        for each in self._services:
            each.start()
        for each in self._services:
            each.await_ready()

    def stop(self) -> None:
        self._http.close()
        for each in self._services:
            each.stop()

    def one_after_the_other(self, count: int) -> Figures:
        """Milliseconds from the post to the settled order, and of a request that the service answers by itself."""
        settled: list[float] = []
        bare: list[float] = []
        for request in islice(self._requests, count):
            begun = time.perf_counter()
            self._http.get("/health/live")
            bare.append((time.perf_counter() - begun) * 1000)
            settled.append(self._settle(request))
        kept = settled[count // 10 :]
        return {
            "p50": percentile(kept, 0.5),
            "p99": percentile(kept, 0.99),
            "a request alone, p50": percentile(bare, 0.5),
        }

    def _settle(self, request: OrderRequest) -> float:
        begun = time.perf_counter()
        self._http.post("/orders", json=request).raise_for_status()
        while time.perf_counter() < begun + _SETTLES_SECONDS:
            order = self._http.get(f"/orders/{request['order_id']}").json()
            if order is not None and order["status"] in FINAL:
                return (time.perf_counter() - begun) * 1000
            time.sleep(_LOOK_SECONDS)
        raise Unsound(f"order {request['order_id']} was accepted and not settled in {_SETTLES_SECONDS:.0f} s")


@contextmanager
def _opened(room: Room) -> Iterator[Sequence[Contestant]]:
    found: list[Contestant] = []
    with ExitStack() as ending:
        for name, kind in (("eventbus, SQLite", "sqlite"), ("eventbus, PostgreSQL", "postgresql")):
            databases = None if kind == "sqlite" else (room.database(kind), room.database(kind))
            services = _Services(room.folder / f"services-{kind}", databases)
            ending.callback(services.stop)
            services.start()
            found.append(Doing(name, partial(services.one_after_the_other, room.sized(40))))
        yield found


CASES: Final = (
    Case(
        "framework.http.order-settled",
        "An order over HTTP, until another service's answer is seen in the view",
        (
            Measure("p50", "ms", more_is_better=False),
            Measure("p99", "ms", more_is_better=False),
            Measure("a request alone, p50", "ms", more_is_better=False),
        ),
        "eventbus, SQLite",
        _opened,
        note="None of the peers has services of its own to be measured here. Two relays, two consumers, three commits "
        "and two reads of the log lie on the way; a request that the service answers by itself stands beside it.",
    ),
)
