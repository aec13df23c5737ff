"""The demo's processes: each in a session of its own, its output in a file, stopped politely or with SIGKILL."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx


class DemoFailed(Exception):
    """The demo cannot go on. The text says what happened and where to look."""


class Service:
    """One HTTP service: `python -m MODULE --port PORT`."""

    def __init__(self, name: str, module: str, port: int, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._command = [sys.executable, "-m", module, "--port", str(port)]
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise DemoFailed(f"{self.name} has not been started")
        return self._process.pid

    def start(self) -> None:
        with self.log.open("ab") as output:
            # A session of its own: Ctrl-C in the demo is the demo's to handle.
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def await_ready(self, *, timeout_seconds: float = 30) -> None:
        """Returns when the service answers over HTTP."""
        self._await("/status", "did not answer", timeout_seconds)

    def await_working(self, *, timeout_seconds: float = 60) -> None:
        """Returns when it answers and is ready: what it reads has been shared out, log and database are there."""
        self._await("/health/ready", "was not ready", timeout_seconds)

    def _await(self, path: str, fault: str, timeout_seconds: float) -> None:
        """Returns when a GET of *path* is answered with 200."""
        deadline = time.monotonic() + timeout_seconds
        said = ""
        while time.monotonic() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise DemoFailed(f"{self.name} ended with code {self._process.returncode}:\n{self.last_lines()}")
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(f"{self.url}{path}", timeout=5)
                if answer.status_code == 200:
                    return
                said = answer.text
            time.sleep(0.05)
        raise DemoFailed(f"{self.name} {fault} within {timeout_seconds:g} s: {said}\n{self.last_lines()}")

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, *, timeout_seconds: float = 20) -> int:
        """SIGTERM, then the exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DemoFailed(f"{self.name} did not stop within {timeout_seconds:g} s of SIGTERM") from None

    def last_lines(self, count: int = 20) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:]) if self.log.exists() else ""


class Instances:
    """The processes of one service, which share log and database. The first listens on *port*, the others anywhere."""

    def __init__(
        self, name: str, module: str, port: int, count: int, environment: Mapping[str, str], directory: Path
    ) -> None:
        self.name = name
        ports = [port, *(_free_port() for _ in range(count - 1))]
        names = [name] if count == 1 else [f"{name}-{number}" for number in range(1, count + 1)]
        self.all = [
            Service(own_name, module, own_port, environment, directory / f"{own_name}.log")
            for own_name, own_port in zip(names, ports, strict=True)
        ]

    @property
    def first(self) -> Service:
        return self.all[0]

    def start(self) -> None:
        for each in self.all:
            each.start()

    def await_working(self) -> None:
        """Returns when all are ready: orders that come before would only wait for the first shares of everything."""
        for each in self.all:
            each.await_working()

    def kill(self) -> None:
        for each in self.all:
            each.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def refuse_taken_ports(ports: Mapping[str, int]) -> None:
    """Raises DemoFailed, naming the variable to change, when a port is taken or asked for twice."""
    asked: dict[int, str] = {}
    for variable, port in ports.items():
        other = asked.setdefault(port, variable)
        if other != variable:
            raise DemoFailed(f"{other} and {variable} are both {port}: give each service a port of its own")
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise DemoFailed(
                    f"port {port} is not free ({error.strerror}): stop what listens there, or choose another, "
                    f"for example {variable}={_another_port(port)} make demo"
                ) from None


def _another_port(port: int) -> int:
    return port + 1000 if port + 1000 < 65536 else port - 1000
