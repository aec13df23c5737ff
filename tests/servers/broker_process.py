"""A real `broker serve` in a process of its own, to be stopped, killed, frozen and started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS_MAX = 60.0


class BrokerProcess:
    """
    One data directory and the broker that serves it.

    The first start takes a free port; every later one takes the same, as a broker that comes back does. Log lines are
    kept in `log_file`. `command` is what takes the arguments of `broker`.
    """

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        port: int = 0,
        command: Sequence[str] = (sys.executable, "-m", "broker"),
    ) -> None:
        self.data_dir = data_dir
        self._command = tuple(command)
        self.arguments = arguments
        self.port = port
        self.host = "127.0.0.1"
        self.ready_seconds = 0.0
        self.log_file = data_dir.with_name(data_dir.name + ".log")
        self._ready_file = data_dir.with_name(data_dir.name + ".ready.json")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """`HOST:PORT`, as clients' bootstrap.servers want it."""
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def log(self) -> str:
        """Everything that the broker has written to standard error, over all its starts."""
        return self.log_file.read_text(encoding="utf-8")

    @property
    def is_running(self) -> bool:
        """False when a test has killed it and has failed before it could start it again."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> "BrokerProcess":
        """Returns when clients can connect."""
        assert self._process is None, "it runs already"
        self._ready_file.unlink(missing_ok=True)
        command = [*self._command, "serve", "--data-dir", str(self.data_dir)]
        command += ["--listen", f"{self.host}:{self.port}", "--ready-file", str(self._ready_file), *self.arguments]
        began = time.monotonic()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, env=_environment())
        while not self._ready_file.exists():
            if self._process.poll() is not None:
                code, self._process = self._process.returncode, None
                raise AssertionError(f"broker ended with {code} before it was ready:\n{self.log}")
            if time.monotonic() - began > START_SECONDS_MAX:
                self.kill()
                raise AssertionError(f"broker not ready within {START_SECONDS_MAX} s:\n{self.log}")
            time.sleep(0.005)
        self.ready_seconds = time.monotonic() - began
        self.port = int(json.loads(self._ready_file.read_text(encoding="utf-8"))["port"])
        return self

    def stop(self, timeout: float = 15) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM, timeout)

    def interrupt(self, timeout: float = 15) -> int:
        """SIGINT; returns the exit code."""
        return self._end(signal.SIGINT, timeout)

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nothing is said."""
        self._end(signal.SIGKILL, 15)

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def clean(self) -> None:
        """SIGUSR1: retention and compaction now."""
        os.kill(self.pid, signal.SIGUSR1)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> "BrokerProcess":
        """A clean stop and a start on the same port."""
        self.stop()
        return self.start()

    def wait(self, timeout: float = 15) -> int:
        """Waits until it ends by itself; returns the exit code."""
        code = self._running().wait(timeout)
        self._process = None
        return code

    def close(self) -> None:
        """Ends it, however it stands."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(15)
        self._process = None

    def _running(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "it does not run"
        return self._process

    def _end(self, how: signal.Signals, timeout: float) -> int:
        process = self._running()
        process.send_signal(how)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(15)
            raise
        self._process = None
        return code


def _environment() -> dict[str, str]:
    """As an installed broker runs: from bytecode. Compiling it at every start takes longer than the start."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def running_broker(data_dir: Path, *arguments: str) -> Iterator[BrokerProcess]:
    """A broker that is ended with the block, however it stands then."""
    broker = BrokerProcess(data_dir, *arguments)
    try:
        yield broker.start()
    finally:
        broker.close()
