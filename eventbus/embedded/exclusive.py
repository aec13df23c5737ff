"""
The broker of a directory for one process alone, with every service kept out: for moving its log.

Files in DIR beside those of `shared_broker.py`
    users.lock     held exclusively, as by a broker that is about to stop: a service that starts meanwhile waits
    migrate.lock   held shared by whoever uses the broker; it stops when it gets the exclusive one, so that it does not
                   outlive a user that was killed
    migrate.json   written by the broker when clients can connect
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Self, cast

from eventbus.embedded.locks import FileLock, is_locked
from eventbus.errors import EventBusError, InvalidConfiguration

_SECONDS_MAX = 30.0
_PAUSE_SECONDS = 0.02


class DirectoryInUse(EventBusError):
    """Services, or another move, are using the directory. The text names them."""


class ExclusiveBroker:
    """
    A context manager: starts the broker on the log in *directory* and gives its `address`; every call blocks.

    Raises InvalidConfiguration when there is no log, DirectoryInUse when somebody is using it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._users = FileLock(directory / "users.lock")
        self._own = FileLock(directory / "migrate.lock")
        self._ready = directory / "migrate.json"
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""

    def __enter__(self) -> Self:
        if not (self._directory / "broker").is_dir():
            raise InvalidConfiguration(f"embedded:{self._directory} has no log: no service was ever started with it")
        try:
            self._keep_services_out()
            self.address = self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets the broker stop, then services in."""
        self._own.release()
        if self._process is not None:
            try:
                self._process.wait(_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        self._users.release()

    def _keep_services_out(self) -> None:
        until = time.monotonic() + _SECONDS_MAX
        # The broker of services that have just gone holds it for as long as it takes to stop.
        while not self._users.try_take():
            names = [lock.stem for lock in sorted((self._directory / "instances").glob("*.lock")) if is_locked(lock)]
            if names or time.monotonic() > until:
                who = ", ".join(names) or "another process"
                raise DirectoryInUse(f"{self._directory} is in use by {who}: stop every service first")
            time.sleep(_PAUSE_SECONDS)
        # That of a move that was killed stops when it has noticed.
        while is_locked(self._directory / "broker" / ".lock"):
            if time.monotonic() > until:
                raise DirectoryInUse(f"a broker is still serving {self._directory / 'broker'}: stop it first")
            time.sleep(_PAUSE_SECONDS)
        if not self._own.take(_SECONDS_MAX, shared=True):
            raise DirectoryInUse(f"{self._own.path} is held by another process")

    def _start(self) -> str:
        self._ready.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "broker", "serve", "--data-dir", str(self._directory / "broker")]
        command += ["--listen", "127.0.0.1:0", "--ready-file", str(self._ready)]
        command += ["--while-locked", str(self._own.path)]
        log = self._directory / "broker.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        until = time.monotonic() + _SECONDS_MAX
        while not self._ready.exists():
            if self._process.poll() is not None or time.monotonic() > until:
                raise InvalidConfiguration(f"the broker of {self._directory} does not start: {log} says why")
            time.sleep(_PAUSE_SECONDS)
        ready = cast("dict[str, object]", json.loads(self._ready.read_bytes()))
        return f"127.0.0.1:{ready['port']}"
