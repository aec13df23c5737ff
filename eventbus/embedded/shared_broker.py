"""
One broker process for all services that were given the same directory.

Files in DIR
    broker/         the log; `broker/.lock` is flock()ed by the broker that serves it, whose pid is its text
    users.lock      each service holds a shared flock; the broker stops when it gets the exclusive one
    start.lock      exclusive while a service looks for the broker, or starts one
    broker.json     written by the broker when clients can connect: host, port, pid
    broker.port     the port, chosen once
    broker.log      the broker's own words

Rules
    Whoever comes first starts it, in a session of its own: neither Ctrl-C in the service's terminal nor the service's
    death reaches it. Every service watches the process; when it ends, the first to get start.lock starts it again, on
    the same port. A broker that is about to stop holds users.lock exclusively, so a newcomer waits, then starts one.
"""

import asyncio
import errno
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypedDict, cast

import anyio

from eventbus.embedded.locks import FileLock, held, is_locked
from eventbus.embedded.process_end import ProcessEnd
from eventbus.errors import BrokerUnavailable, InvalidConfiguration

_log = logging.getLogger("eventbus.embedded")

_HOST = "127.0.0.1"
# Below the ports that operating systems give to outgoing connections, so that a restart finds its port free.
_PORTS = range(20_000, 30_000)
_START_SECONDS_MAX = 30.0
_PAUSE_SECONDS = 0.02
_LOG_BYTES_MAX = 10 * 1024 * 1024
_children: set["subprocess.Popen[bytes]"] = set()


@dataclass(frozen=True, slots=True)
class _Served:
    """A broker that clients can connect to."""

    port: int
    pid: int


class _ReadyFile(TypedDict):
    host: str
    port: int
    pid: int


class SharedBroker:
    """
    Use of the broker in *directory* (absolute), from `start` to `aclose`; or as an async context manager.

    A process may use it several times. What can go wrong: InvalidConfiguration for a directory that cannot be used,
    BrokerUnavailable when no broker can be started in it, with the broker's own words.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._users = FileLock(directory / "users.lock")
        self._closing = threading.Event()
        self._watch: asyncio.Task[None] | None = None
        self._served: _Served | None = None

    @property
    def address(self) -> str:
        """`HOST:PORT`; the same after a restart."""
        if self._served is None:
            raise RuntimeError("start() has not answered yet")
        return f"{_HOST}:{self._served.port}"

    @property
    def pid(self) -> int:
        """The broker's process."""
        if self._served is None:
            raise RuntimeError("start() has not answered yet")
        return self._served.pid

    async def start(self) -> str:
        """Finds the broker or starts it; its address."""
        self._served = await anyio.to_thread.run_sync(self._begin)
        _log.info("embedded broker in %s at %s, process %d", self.directory, self.address, self._served.pid)
        self._watch = asyncio.create_task(self._keep(), name="eventbus-embedded-broker")
        return self.address

    async def aclose(self) -> None:
        """Leaves the broker to the others; the last one's leaving ends it."""
        self._closing.set()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        self._users.release()
        _reap()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _keep(self) -> None:
        """Starts the broker again, or waits for whoever does, each time that it has ended."""
        while True:
            served = self.pid
            await _wait_for_end(served)
            _reap()
            _log.warning("embedded broker in %s: process %d has ended, starting it again", self.directory, served)
            pause = 0.1
            complained = False
            while True:
                try:
                    self._served = await anyio.to_thread.run_sync(self._find_or_start)
                    break
                except (BrokerUnavailable, InvalidConfiguration, OSError) as error:
                    if not complained:
                        _log.error("embedded broker in %s: %s; trying again", self.directory, error)
                    complained = True
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
            _log.info("embedded broker in %s: process %d serves %s", self.directory, self.pid, self.address)

    # In a worker thread.

    def _begin(self) -> _Served:
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            # Held by a broker that is about to stop, for as long as that takes.
            taken = self._users.take(_START_SECONDS_MAX, shared=True)
        except OSError as error:
            raise InvalidConfiguration(
                f"EVENTBUS_BROKER_URL: the directory {self.directory} cannot be used: {error.strerror}"
            ) from error
        if not taken:
            raise BrokerUnavailable(f"the broker in {self.directory} has been stopping for {_START_SECONDS_MAX:.0f} s")
        try:
            return self._find_or_start()
        except BaseException:
            self._users.release()
            raise

    def _find_or_start(self) -> _Served:
        until = time.monotonic() + _START_SECONDS_MAX
        with held(self.directory / "start.lock", _START_SECONDS_MAX) as taken:
            if not taken:
                raise BrokerUnavailable(
                    f"another service has been starting the broker in {self.directory} for too long"
                )
            child: subprocess.Popen[bytes] | None = None
            while time.monotonic() < until and not self._closing.is_set():
                if (served := self._find()) is not None:
                    return served
                if child is None and not self._is_served():
                    child = self._spawn()
                elif child is not None and child.poll() is not None:
                    _children.discard(child)
                    # Another starter's broker may have been quicker; else this one has said why.
                    if not self._is_served():
                        raise BrokerUnavailable(self._why(child.returncode))
                    child = None
                time.sleep(_PAUSE_SECONDS)
        raise BrokerUnavailable(f"the broker in {self.directory} is not ready; see {self._log_path}")

    @property
    def _log_path(self) -> Path:
        return self.directory / "broker.log"

    @property
    def _lock_path(self) -> Path:
        return self.directory / "broker" / ".lock"

    def _is_served(self) -> bool:
        return is_locked(self._lock_path)

    def _find(self) -> _Served | None:
        """The broker that serves, once clients can connect."""
        try:
            ready = cast("_ReadyFile", json.loads((self.directory / "broker.json").read_bytes()))
            holder = int(self._lock_path.read_text())
        except (OSError, ValueError):
            return None
        # A file of a broker that was killed stays behind: it counts only while its process holds the lock.
        if ready["pid"] != holder or not self._is_served():
            return None
        return _Served(ready["port"], ready["pid"])

    def _spawn(self) -> "subprocess.Popen[bytes]":
        (self.directory / "broker.json").unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "broker", "serve"]
        command += ["--data-dir", str(self.directory / "broker")]
        command += ["--listen", f"{_HOST}:{self._port()}"]
        command += ["--ready-file", str(self.directory / "broker.json")]
        command += ["--while-locked", str(self._users.path)]
        if self._log_path.exists() and self._log_path.stat().st_size > _LOG_BYTES_MAX:
            self._log_path.replace(self._log_path.with_suffix(".log.1"))
        with self._log_path.open("ab") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Not the service's, which may be on a disk that is to be unmounted.
                cwd=self.directory,
                env=_environment(),
                start_new_session=True,
            )
        _children.add(child)
        return child

    def _port(self) -> int:
        """The port of this directory: the same from start to start, chosen at the first one."""
        kept = self.directory / "broker.port"
        try:
            return int(kept.read_text())
        except (FileNotFoundError, ValueError):
            pass
        port = _free_port(zlib.crc32(os.fsencode(self.directory)))
        new = kept.with_suffix(".port.new")
        new.write_text(f"{port}\n")
        new.replace(kept)
        return port

    def _why(self, code: int) -> str:
        words = self._log_path.read_text(errors="replace").strip().splitlines()
        said = words[-1] if words else "nothing"
        return (
            f"the embedded broker in {self.directory} ended with code {code}; {self._log_path} ends with: {said} "
            f"(its port is kept in {self.directory / 'broker.port'}: delete that file to have another one chosen)"
        )


def _free_port(seed: int) -> int:
    for attempt in range(len(_PORTS)):
        port = _PORTS[(seed + attempt) % len(_PORTS)]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError as error:
                if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                    continue
                raise
            return port
    raise BrokerUnavailable(f"no port between {_PORTS.start} and {_PORTS.stop - 1} is free on {_HOST}")


def _environment() -> dict[str, str]:
    environment = dict(os.environ)
    if (path := environment.get("PYTHONPATH")) is not None:
        # The broker is started in another directory, from where a relative one would lead nowhere.
        environment["PYTHONPATH"] = os.pathsep.join(str(Path(part).absolute()) for part in path.split(os.pathsep))
    return environment


def _reap() -> None:
    """Takes note of children that have ended, so that they do not stay as zombies."""
    for child in list(_children):
        if child.poll() is not None:
            _children.discard(child)


async def _wait_for_end(pid: int) -> None:
    try:
        end = ProcessEnd(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(end.descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(end.descriptor)
        end.close()
