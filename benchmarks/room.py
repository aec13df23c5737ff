"""
The servers that cases share, each started when a case first asks for it and ended with the room.

broker   `broker serve` as it comes
kafka    Apache Kafka 4.3.1, one node, 1 GB of heap, its usual garbage collector
kfake    franz-go's fake cluster as a process (benchmarks/go/kfake): it keeps everything in memory
"""

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import asyncpg

from benchmarks.case import Mode
from benchmarks.databases import bench_database
from tests.interop.toolchain import kafka_jars
from tests.servers.broker_process import running_broker
from tests.servers.kafka_server import running_kafka

HEAP: Final = ("-Xms1g", "-Xmx1g")
# Its default, a minute, would put the removal of files into somebody's later measurement.
KAFKA_PROPERTIES: Final = {"log.segment.delete.delay.ms": "100", "auto.create.topics.enable": "false"}
_GO: Final = Path(__file__).resolve().parent / "go" / "kfake"
_BUILT: Final = Path(__file__).resolve().parent.parent / ".interop"


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: what clients are given, and the process whose memory and CPU count."""

    name: str
    address: str
    pid: int


class Room:
    """
    mode    how much is to be run: cases take their sizes from it
    size    a factor on every size, for trying things out
    """

    def __init__(self, mode: Mode, size: float = 1.0) -> None:
        self.mode = mode
        self._size = size
        self._ending = ExitStack()
        self._databases = 0
        self.absent: dict[str, str] = {}
        """Servers that could not be started, and why."""

    def __enter__(self) -> Self:
        self.folder = Path(self._ending.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    def sized(self, full: int, quick: int | None = None) -> int:
        """*full*, or *quick* (a fifth of it) in quick mode, times the factor; 1 at least."""
        chosen = full if self.mode is not Mode.QUICK else (quick if quick is not None else full // 5)
        return max(1, round(chosen * self._size))

    @property
    def is_quick(self) -> bool:
        return self.mode is Mode.QUICK

    @cached_property
    def broker(self) -> Server:
        process = self._ending.enter_context(running_broker(self.folder / "broker"))
        return Server("broker", process.bootstrap, process.pid)

    @cached_property
    def kafka(self) -> Server:
        cluster = self._ending.enter_context(
            running_kafka(kafka_jars(), self.folder / "kafka", properties=KAFKA_PROPERTIES, java_options=HEAP)
        )
        return Server("Apache Kafka", cluster.bootstrap, cluster.nodes[0].pid)

    @cached_property
    def kfake(self) -> Server:
        process, port = start_kfake()
        self._ending.callback(process.wait, 10)
        self._ending.callback(process.kill)
        return Server("kfake", f"127.0.0.1:{port}", process.pid)

    def servers(self, *, with_kfake: bool = True) -> list[Server]:
        """Those that a broker's case compares. One that cannot be started is said so once, and left out."""
        wanted: dict[str, Callable[[], Server]] = {"broker": lambda: self.broker, "Apache Kafka": lambda: self.kafka}
        if with_kfake:
            wanted["kfake"] = lambda: self.kfake
        found: list[Server] = []
        for name, start in wanted.items():
            if name in self.absent:
                continue
            try:
                found.append(start())
            except Exception as error:
                self.absent[name] = f"{type(error).__name__}: {error}"
                print(f"  {name} is not there: {self.absent[name]}", flush=True)
        return found

    def database(self, name: str) -> str:
        """The address of an empty `sqlite` or `postgresql` database of its own, which lives as long as the room."""
        self._databases += 1
        if name == "sqlite":
            return f"sqlite:///{self.folder}/database-{self._databases}.sqlite3"
        asyncio.run(_create_database(self.postgresql, f"bench_{self._databases}"))
        return urlsplit(self.postgresql)._replace(path=f"/bench_{self._databases}").geturl()

    @cached_property
    def postgresql(self) -> str:
        """A PostgreSQL server with fsync on."""
        return self._ending.enter_context(bench_database("postgresql"))[0]


async def _create_database(server: str, name: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()


def start_kfake() -> "tuple[subprocess.Popen[bytes], int]":
    """The process and its port, when it takes connections. Raises RuntimeError when it cannot be built or started."""
    go = shutil.which("go")
    if go is None:
        raise RuntimeError("kfake is a Go module: install Go 1.24 or newer (apt-get install golang-go)")
    program = _BUILT / "kfake"
    _BUILT.mkdir(exist_ok=True)
    subprocess.run([go, "build", "-o", str(program), "."], cwd=_GO, check=True, timeout=600)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen([str(program), str(port)])
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                process.kill()
                raise RuntimeError(f"kfake did not start on port {port}") from None
            time.sleep(0.02)
        else:
            return process, port
