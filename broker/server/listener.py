"""
The listening socket and the connections that came through it.

Bound    one address, loopback unless told otherwise; port 0 takes a free one, which `port` then tells.
Limits   max.connections and max.connections.per.ip: a connection above them is closed as soon as it is accepted, with
         one log line.
Idle     a connection on which nothing has moved for connections.max.idle.ms and for which nothing is parked is closed.
"""

import asyncio
import errno
import logging
import socket
from collections import Counter
from collections.abc import Callable

from broker.server.connection import Connection, ConnectionLimits, FrameHandler
from broker.server.in_flight import InFlight
from broker.server.receive_buffers import ReceiveBuffers

LOG = logging.getLogger("broker.listener")

ACCEPTS_PER_TURN = 64
# Out of file descriptors: accepting again at once would spin.
ACCEPT_PAUSE_S = 0.5


class AddressUnusable(Exception):
    """The address cannot be listened on; the text says why and what to do."""


def bind(host: str, port: int, *, option: str = "--listen") -> socket.socket:
    """
    A socket on the first address that *host* stands for, as *option* of the command line asked; it does not listen yet.
    Raises AddressUnusable.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise AddressUnusable(
            f"cannot listen on {host}:{port}: {error.strerror}; "
            f"give an address of this machine, such as {option} 127.0.0.1:{port}"
        ) from error
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise AddressUnusable(f"cannot listen on {host}:{port}: {_way_out(error, port, option)}") from error
    bound.setblocking(False)
    return bound


def _way_out(error: OSError, port: int, option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is taken by another process; stop it, or give another one with {option} HOST:PORT "
            "(port 0 takes a free one)"
        )
    if error.errno == errno.EACCES:
        return (
            f"not allowed to use port {port}: ports below 1024 belong to the system; "
            f"give another one with {option} HOST:PORT"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return (
            f"this machine does not have that address; give one of its own, such as 127.0.0.1, with {option} HOST:PORT"
        )
    return f"{error.strerror or error}; give another address with {option} HOST:PORT"


class Listener:
    """Accepts connections and keeps them until they close. Runs on the loop's thread only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        handle: FrameHandler,
        on_turn_end: Callable[[], None],
        *,
        on_admitted: Callable[[Connection], None],
        limits: ConnectionLimits,
        in_flight_bytes_max: int,
        connections_max: int,
        connections_per_address_max: int,
        idle_s: float | None,
        backlog: int,
    ) -> None:
        self.connections: set[Connection] = set()
        self.all_closed = asyncio.Event()
        """Set while there is no connection."""
        self.accepted = 0
        self.refused = 0
        self._closed_received_bytes = 0
        self._closed_sent_bytes = 0
        self.all_closed.set()
        self._loop = loop
        self._listening = listening
        self._handle = handle
        self._on_turn_end = on_turn_end
        self._on_admitted = on_admitted
        self._limits = limits
        self._in_flight = InFlight(in_flight_bytes_max)
        self._connections_max = connections_max
        self._connections_per_address_max = connections_per_address_max
        self._idle_s = idle_s
        self._per_address: Counter[str] = Counter()
        self._buffers = ReceiveBuffers()
        self._idle_timer: asyncio.TimerHandle | None = None
        listening.listen(backlog)
        loop.add_reader(listening.fileno(), self._on_acceptable)

    @property
    def port(self) -> int:
        port: int = self._listening.getsockname()[1]
        return port

    @property
    def received_bytes(self) -> int:
        """From all connections, since the start."""
        return self._closed_received_bytes + sum(each.received_bytes for each in self.connections)

    @property
    def sent_bytes(self) -> int:
        """To all connections, since the start."""
        return self._closed_sent_bytes + sum(each.sent_bytes for each in self.connections)

    def stop_accepting(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening.fileno())
            self._listening.close()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _on_acceptable(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                connected, address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # EMFILE, ENFILE, ENOBUFS, ENOMEM: what is connected goes on; newcomers wait in the backlog.
                LOG.error("cannot accept connections for %.1f s reason=%s", ACCEPT_PAUSE_S, error.strerror)
                self._loop.remove_reader(self._listening.fileno())
                self._loop.call_later(ACCEPT_PAUSE_S, self._accept_again)
                return
            self._admit(connected, str(address[0]), int(address[1]))

    def _accept_again(self) -> None:
        if self._listening.fileno() >= 0:
            self._loop.add_reader(self._listening.fileno(), self._on_acceptable)

    def _admit(self, connected: socket.socket, host: str, port: int) -> None:
        peer = f"{host}:{port}"
        refusal = None
        if len(self.connections) >= self._connections_max:
            refusal = f"max.connections={self._connections_max} are open"
        elif self._per_address[host] >= self._connections_per_address_max:
            refusal = f"max.connections.per.ip={self._connections_per_address_max} are open from there"
        if refusal is not None:
            LOG.warning("connection refused peer=%s reason=%s", peer, refusal)
            connected.close()
            self.refused += 1
            return
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A peer that vanished without a word (half-open) is found by the kernel.
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection = Connection(
            self._loop,
            connected,
            peer,
            self._limits,
            self._in_flight,
            self._buffers,
            self._handle,
            self._on_turn_end,
        )
        connection.close_callbacks.append(lambda: self._forget(connection, host))
        self.connections.add(connection)
        self.accepted += 1
        self.all_closed.clear()
        self._per_address[host] += 1
        self._on_admitted(connection)
        if self._idle_timer is None and self._idle_s is not None:
            self._idle_timer = self._loop.call_later(self._idle_s, self._close_idle)

    def _forget(self, connection: Connection, host: str) -> None:
        self.connections.discard(connection)
        self._closed_received_bytes += connection.received_bytes
        self._closed_sent_bytes += connection.sent_bytes
        if not self.connections:
            self.all_closed.set()
        self._per_address[host] -= 1
        if not self._per_address[host]:
            del self._per_address[host]

    def _close_idle(self) -> None:
        """Closes what is idle and sleeps until the next one could be."""
        self._idle_timer = None
        if self._idle_s is None:
            return
        now = self._loop.time()
        next_idle_at: float | None = None
        for connection in list(self.connections):
            idle_at = (
                now if connection.parked and not connection.queued_bytes else connection.last_active
            ) + self._idle_s
            if idle_at <= now:
                connection.close(f"idle for {self._idle_s:g} s (connections.max.idle.ms)")
            elif next_idle_at is None or idle_at < next_idle_at:
                next_idle_at = idle_at
        if next_idle_at is not None:
            self._idle_timer = self._loop.call_at(next_idle_at, self._close_idle)
