"""`make demo`: the main job, with real processes and real HTTP. Exit code 0 when nothing was lost or doubled."""

import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from types import FrameType

import httpx
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from samples.demo.checker import read_rows
from samples.demo.ledger import FINAL, Entry, Ledger, OrderRequest, order_requests
from samples.demo.place import SERVICES, Place, find_place
from samples.demo.processes import DemoFailed, Instances, refuse_taken_ports

ORDERS = 500
POSTERS = 8
ORDERS_A_SECOND_DURING_REBUILD = 10
# It takes one to three seconds, most of them imports; how slow the machine is at the moment is not the demo's to judge.
HANDLES_AGAIN_WITHIN_SECONDS = 30.0
SETTLES_WITHIN_SECONDS = 120.0

console = Console()


class Demo:
    """One run in one directory: the services, the orders posted so far and what was seen of them."""

    def __init__(self, directory: Path, place: Place, order_port: int, payment_port: int) -> None:
        self.directory = directory
        self.place = place
        self.orders, self.payments = (
            Instances(
                name,
                module,
                port,
                place.instances,
                {**place.settings[name], "PYTHONUNBUFFERED": "1"},
                directory,
            )
            for (name, module), port in zip(SERVICES.items(), (order_port, payment_port), strict=True)
        )
        self.ledger = Ledger()
        self._requests = order_requests(seed=20)
        self._http = [httpx.Client(base_url=each.url, timeout=30) for each in self.orders.all]
        self._turns = cycle(self._http)

    def start(self) -> None:
        self.orders.start()
        self.payments.start()
        self.orders.await_working()
        self.payments.await_working()

    def place_orders(self, count: int) -> None:
        """Posts over HTTP, to each instance in turn; half-way one of the payment service is killed."""
        requests = list(islice(self._requests, count))
        kill_at = count // 2
        killer: threading.Thread | None = None
        with self._watching(), _progress() as progress, ThreadPoolExecutor(POSTERS) as posters:
            posting = progress.add_task("orders posted", total=count)
            settling = progress.add_task("paid or rejected", total=count)
            for number, _ in enumerate(posters.map(self._post, requests), start=1):
                progress.update(posting, completed=number)
                progress.update(settling, completed=len(self.ledger.orders) - self.ledger.unsettled)
                if number == kill_at:
                    kill = self._kill_and_restart_payments if self.place.instances == 1 else self._kill_one_of_payments
                    killer = threading.Thread(target=kill, args=(progress,))
                    killer.start()
            self._await_settled(progress, settling)
            if killer is not None:
                killer.join()
        if self.place.instances > 1:
            self._bring_back()
            return
        took = self.ledger.back_at - self._restarted_at
        if self.ledger.back_at == 0 or took > HANDLES_AGAIN_WITHIN_SECONDS:
            raise DemoFailed(
                f"the payment service did not handle events within {HANDLES_AGAIN_WITHIN_SECONDS:g} s of its restart: "
                + (f"it took {took:.1f} s" if self.ledger.back_at else self.payments.first.last_lines())
            )

    def rebuild_under_load(self) -> None:
        """Rebuilds the order read model beside the live one while orders keep arriving."""
        stop = threading.Event()

        def keep_ordering() -> None:
            while not stop.wait(1 / ORDERS_A_SECOND_DURING_REBUILD):
                self._post(next(self._requests))

        before = len(self.ledger.orders)
        with self._watching(), ThreadPoolExecutor(1) as poster:
            posting = poster.submit(keep_ordering)
            time.sleep(1)
            rebuild = subprocess.run(
                [
                    *(sys.executable, "-m", "eventbus.cli", "projections", "rebuild", "order_summaries"),
                    *("--app", "order_service.service:app"),
                ],
                env={**os.environ, **self.place.settings[self.orders.name]},
                check=False,
            )
            time.sleep(1)
            stop.set()
            posting.result()
            if rebuild.returncode != 0:
                raise DemoFailed(f"the rebuild ended with code {rebuild.returncode}")
            self._await_settled(None, None)
        console.print(f"  {len(self.ledger.orders) - before} orders arrived meanwhile, and are in the rebuilt view")

    def check(self) -> int:
        """Runs the checker as a process of its own; its exit code."""
        ledger = self.directory / "ledger.json"
        self.ledger.save(ledger)
        address = self.broker_address()
        return subprocess.run(
            [
                *(sys.executable, "-m", "samples.demo.checker", "--broker", address, "--ledger", str(ledger)),
                *("--orders", f"{self.orders.first.url}/orders"),
                *("--payments", f"{self.payments.first.url}/payments"),
            ],
            check=False,
        ).returncode

    def broker_address(self) -> str:
        status = httpx.get(f"{self.orders.first.url}/status", timeout=10).raise_for_status().json()
        return str(status["broker"])

    def stop(self) -> None:
        codes = {service.name: service.stop() for service in (*self.orders.all, *self.payments.all)}
        wrong = {name: code for name, code in codes.items() if code != 0}
        if wrong:
            raise DemoFailed(f"a clean stop ends with code 0: {wrong}")

    def kill(self) -> None:
        self.orders.kill()
        self.payments.kill()

    def _post(self, request: OrderRequest) -> None:
        posted_at = time.time()
        next(self._turns).post("/orders", json=request).raise_for_status()
        self.ledger.orders[request["order_id"]] = Entry(posted_at)

    def _kill_and_restart_payments(self, progress: Progress) -> None:
        self.ledger.killed_at = time.time()
        self.ledger.relay_killed("payments")
        self.payments.first.kill()
        progress.console.print("  payment-service killed (SIGKILL), starting it again")
        self._restarted_at = time.time()
        self.payments.first.start()
        while time.time() < self._restarted_at + 20:
            try:
                status = httpx.get(f"{self.payments.first.url}/status", timeout=5).json()
            except httpx.TransportError:
                time.sleep(0.02)
                continue
            if status["handled"] > 0:
                self.ledger.back_at = time.time()
                took = self.ledger.back_at - self._restarted_at
                progress.console.print(f"  payment-service handles events again, {took:.1f} s after its start")
                return
            time.sleep(0.02)

    def _kill_one_of_payments(self, progress: Progress) -> None:
        """The others take over its partitions and its slots of the outbox."""
        killed = self.payments.all[-1]
        self.ledger.killed_at = time.time()
        self.ledger.relay_killed("payments")
        killed.kill()
        progress.console.print(f"  {killed.name} killed (SIGKILL); the others go on without it")

    def _bring_back(self) -> None:
        """All orders have been settled without it: it comes back for what follows."""
        before: list[float] = []
        after: list[float] = []
        for entry in self.ledger.orders.values():
            settled_at = entry.settled_at or 0
            (before if settled_at < self.ledger.killed_at else after).append(settled_at - entry.posted_at)
        console.print(f"  orders settled before the kill waited {_waits(before)}")
        console.print(f"  after it, without the killed one, {_waits(after)}: what was its own is for others when its")
        console.print("  session has ended, after 6 s")
        self.payments.all[-1].start()
        self.payments.all[-1].await_working()

    def _await_settled(self, progress: Progress | None, task: TaskID | None) -> None:
        deadline = time.monotonic() + SETTLES_WITHIN_SECONDS
        while self.ledger.unsettled:
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"{self.ledger.unsettled} orders are neither paid nor rejected after {SETTLES_WITHIN_SECONDS:g} s"
                )
            time.sleep(0.1)
            if progress is not None and task is not None:
                progress.update(task, completed=len(self.ledger.orders) - self.ledger.unsettled)

    @contextmanager
    def _watching(self) -> Generator[None]:
        """While open, notes when each order is first seen in its final state (sampled ten times a second)."""
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(0.1):
                rows = read_rows(f"{self.orders.first.url}/orders")
                seen_at = time.time()
                for order_id, row in rows.items():
                    entry = self.ledger.orders.get(order_id)
                    if entry is not None and entry.settled_at is None and row["status"] in FINAL:
                        entry.settled_at = seen_at

        with ThreadPoolExecutor(1) as watcher:
            watching = watcher.submit(watch)
            try:
                yield
            finally:
                stop.set()
            watching.result()


def _waits(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.1f} s (p50), {max(seconds):.1f} s at most" if seconds else "for nothing yet"


def _progress() -> Progress:
    return Progress(
        TextColumn("  {task.description:<17}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def play() -> int:
    order_port = _port("ORDER_PORT", 8001)
    payment_port = _port("PAYMENT_PORT", 8002)
    refuse_taken_ports({"ORDER_PORT": order_port, "PAYMENT_PORT": payment_port})
    directory = Path(".demo").resolve() / time.strftime("%Y%m%d-%H%M%S")
    directory.mkdir(parents=True)
    place = find_place(directory)
    demo = Demo(directory, place, order_port, payment_port)
    keep = os.environ.get("KEEP") == "1"
    started = time.monotonic()
    finished = False
    try:
        times = "" if place.instances == 1 else f", {place.instances} instances of each"
        console.rule(f"Two services over one log{times}")
        demo.start()
        for service in (demo.orders, demo.payments):
            console.print(f"  {service.name:<15} " + " ".join(each.url for each in service.all))
        console.print(f"  broker          {demo.broker_address()}\n  data and logs   {directory}")
        victim = "the payment service" if place.instances == 1 else "an instance of the payment service"
        console.rule(f"{ORDERS} orders, {victim} killed half-way")
        demo.place_orders(ORDERS)
        console.rule(
            f"The read model rebuilt beside the live one, {ORDERS_A_SECOND_DURING_REBUILD} orders a second arriving"
        )
        demo.rebuild_under_load()
        console.rule("The checker")
        faults = demo.check()
        if keep:
            console.print(f"\nStill running: {demo.orders.first.url}/docs and {demo.payments.first.url}/docs")
            pids = " ".join(str(each.pid) for each in (*demo.orders.all, *demo.payments.all))
            end = f"; {shlex.join(place.end_command())}" if place.servers else ""
            console.print(f"Stop them with: kill {pids}{end}")
        else:
            demo.stop()
            place.close()
        finished = True
        console.print(f"The demo took {time.monotonic() - started:.0f} s.")
        if faults == 0 and not keep:
            shutil.rmtree(directory, ignore_errors=True)
        return faults
    finally:
        if not finished:
            demo.kill()
            place.close()


def _port(variable: str, default: int) -> int:
    value = os.environ.get(variable, str(default))
    if not value.isdigit() or not 0 < int(value) < 65536:
        raise DemoFailed(f"{variable}={value!r} is not a port: give a number from 1 to 65535")
    return int(value)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        sys.exit(play())
    except (DemoFailed, httpx.HTTPError) as failure:
        console.print(f"[red]The demo failed:[/red] {failure}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
