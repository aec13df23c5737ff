"""What the machine does at most: every figure of the broker stands beside these."""

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

from benchmarks.case import Case, Contestant, Doing, Figures, Measure, Mode
from benchmarks.figures import percentile
from benchmarks.room import Room

_PING: Final = 100
_PIECE: Final = 1 << 20
_BOTH: Final = frozenset({Mode.FULL, Mode.QUICK})


def _pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
    for each in (client, server):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client, server


def _ping_pong(room: Room) -> Figures:
    """100 bytes there and back over loopback, by blocking sockets in two processes."""
    count = room.sized(10_000)
    client, server = _pair()
    child = os.fork()
    if not child:
        client.close()
        while piece := server.recv(_PING):
            server.sendall(piece)
        os._exit(0)
    server.close()
    micros: list[float] = []
    for _ in range(count):
        begun = time.perf_counter()
        client.sendall(bytes(_PING))
        got = 0
        while got < _PING:
            got += len(client.recv(_PING - got))
        micros.append((time.perf_counter() - begun) * 1e6)
    client.close()
    os.waitpid(child, 0)
    return {"p50": percentile(micros, 0.5), "p99": percentile(micros, 0.99), "p99.9": percentile(micros, 0.999)}


def _sendfile(room: Room) -> Figures:
    size = room.sized(1_000) * 1_000_000
    path = room.folder / "sendfile"
    path.write_bytes(os.urandom(_PIECE) * 64)
    client, server = _pair()

    def send() -> None:
        with path.open("rb") as file:
            left = size
            while left > 0:
                left -= os.sendfile(server.fileno(), file.fileno(), (size - left) % (_PIECE * 32), min(left, _PIECE))
        server.close()

    sender = threading.Thread(target=send)
    begun = time.perf_counter()
    sender.start()
    buffer, got = bytearray(_PIECE), 0
    while count := client.recv_into(buffer):
        got += count
    seconds = time.perf_counter() - begun
    sender.join()
    client.close()
    path.unlink()
    return {"rate": got / seconds / 1e6}


def _write(room: Room) -> Figures:
    """Into the page cache, by megabytes, without a sync."""
    pieces = room.sized(1_000)
    path, piece = room.folder / "written", os.urandom(_PIECE)
    begun = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        for _ in range(pieces):
            file.write(piece)
    seconds = time.perf_counter() - begun
    path.unlink()
    return {"rate": pieces * _PIECE / seconds / 1e6}


def _fdatasync(room: Room) -> Figures:
    """4 KB more, and synced."""
    count = room.sized(1_000)
    path = room.folder / "synced"
    micros: list[float] = []
    with path.open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(bytes(4096))
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            micros.append((time.perf_counter() - begun) * 1e6)
    path.unlink()
    return {"p50": percentile(micros, 0.5), "p99": percentile(micros, 0.99), "p99.9": percentile(micros, 0.999)}


@contextmanager
def _alone(name: str, work: "partial[Figures]", room: Room) -> Iterator[Sequence[Contestant]]:
    yield [Doing(name, partial(work, room))]


_TIMES: Final = tuple(Measure(name, "µs", more_is_better=False) for name in ("p50", "p99", "p99.9"))
_RATE: Final = (Measure("rate", "MB/s", more_is_better=True),)


def _limit(name: str, title: str, measures: tuple[Measure, ...], work: "partial[Figures]") -> Case:
    return Case(f"limits.machine.{name}", title, measures, "raw", partial(_alone, "raw", work), modes=_BOTH)


CASES: Final = (
    _limit("ping-pong", "100 bytes there and back over loopback", _TIMES, partial(_ping_pong)),
    _limit("sendfile", "sendfile over loopback, read and thrown away", _RATE, partial(_sendfile)),
    _limit("page-cache", "Writes of 1 MB into the page cache", _RATE, partial(_write)),
    _limit("fdatasync", "fdatasync after 4 KB", _TIMES, partial(_fdatasync)),
)
