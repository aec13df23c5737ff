"""
One client's TCP connection: frames in, answers out, in request order.

In      Readable: what there is is received (inbound.py), and each request in it is handled.
Out     Most requests are answered before the next one is looked at, and their answers leave in one piece at the end
        of the turn (outbound.py). One that waits takes an `Exchange`. Exchanges may be completed in any order; answers
        leave in the order of the requests, so a parked one holds back the later ones of its own connection only.
Limits  Reading pauses while more than `in_flight_max` requests wait for their answers or more than `queued_bytes_max`
        bytes wait for a slow reader, and goes on below half of that; and while memory is short (see in_flight.py). A
        frame that is negative or above `frame_bytes_max` closes the connection.
End     On close everything that is parked for the connection is detached (`closed` callbacks) and queued file slices
        are let go: an answer that comes later must not reach a stranger who got the same descriptor number.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from broker.server.in_flight import STALL_SECONDS, InFlight
from broker.server.inbound import FrameRefused, Inbound
from broker.server.outbound import FileCutShort, Outbound, Piece
from broker.server.receive_buffers import ReceiveBuffers

if TYPE_CHECKING:
    from broker.handlers.repeated_produce import RepeatedProduce

LOG = logging.getLogger("broker.connection")

# What one connection may send or receive before the others get their turn.
SEND_TURN_BYTES = 4 << 20
READ_TURN_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    frame_bytes_max: int
    in_flight_max: int
    queued_bytes_max: int


class Exchange:
    """A request whose answer comes later, and the place of that answer in the connection's order."""

    __slots__ = ("_connection", "pieces")

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.pieces: Sequence[Piece] | None = None

    def complete(self, pieces: Sequence[Piece]) -> None:
        """Gives the answer's pieces (none: it has no answer). They are let go when the connection has gone."""
        if self._connection.closed:
            _release(pieces)
            return
        self.pieces = pieces
        self._connection.answered()

    def refuse(self, reason: str) -> None:
        """Closes the connection: the request cannot be answered."""
        self._connection.close(reason)


FrameHandler = Callable[["Connection", memoryview], Sequence[Piece] | None]
"""Gives a request's answer in pieces (none: it has no answer), or None when it has taken an `Exchange` for it."""


class Connection:
    """Owns the socket from the moment it is given until `close`. Runs on the loop's thread only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connected: socket.socket,
        peer: str,
        limits: ConnectionLimits,
        in_flight: InFlight,
        buffers: ReceiveBuffers,
        handle: FrameHandler,
        on_turn_end: Callable[[], None],
    ) -> None:
        self.peer = peer
        self.client_host = peer.rpartition(":")[0]
        self.last_active = loop.time()
        self.closed = False
        self.close_callbacks: list[Callable[[], object]] = []
        self.repeated_produce: RepeatedProduce | None = None
        """What the next produce request may repeat; the dispatcher's."""
        self._loop = loop
        self._socket = connected
        self._limits = limits
        self._in_flight = in_flight
        self._handle = handle
        self._on_turn_end = on_turn_end
        self._inbound = Inbound(connected, limits.frame_bytes_max, buffers, self)
        self._outbound = Outbound(connected, in_flight)
        self._exchanges: deque[Exchange] = deque()
        self._has_room = False
        self._waits_for_room = False
        self._in_turn = False
        self._reading = True
        self._writing = False
        self._draining = False
        loop.add_reader(connected.fileno(), self._on_readable)

    @property
    def parked(self) -> int:
        """Requests that wait for their answers."""
        return len(self._exchanges)

    @property
    def queued_bytes(self) -> int:
        return self._outbound.queued_bytes

    @property
    def received_bytes(self) -> int:
        return self._inbound.received_bytes

    @property
    def sent_bytes(self) -> int:
        return self._outbound.sent_bytes

    def close(self, reason: str | None) -> None:
        """Ends the connection. With a reason: one line in the log that names the peer and the reason."""
        if self.closed:
            return
        self.closed = True
        if reason is not None:
            LOG.warning("connection closed peer=%s reason=%s", self.peer, reason)
        descriptor = self._socket.fileno()
        self._loop.remove_reader(descriptor)
        self._loop.remove_writer(descriptor)
        for callback in self.close_callbacks:
            callback()
        self.close_callbacks.clear()
        for exchange in self._exchanges:
            _release(exchange.pieces)
        self._exchanges.clear()
        self._inbound.discard()
        self._outbound.discard()
        self._in_flight.give_back(self)
        self._socket.close()

    def drain(self) -> None:
        """Reads no more; closes when what was asked is answered and sent (a clean stop)."""
        self._draining = True
        if self.closed:
            return
        self._stop_reading()
        if not self._exchanges and not self._outbound.queued_bytes:
            self.close(None)

    def defer(self) -> Exchange:
        """For the handler of a request whose answer comes later."""
        exchange = Exchange(self)
        self._exchanges.append(exchange)
        return exchange

    def answered(self) -> None:
        """An exchange was completed. Inside a turn the turn's end sends; outside of one it is sent at once."""
        if not self._in_turn:
            self._send()
            self._resume_reading()

    # Reading

    def _on_readable(self) -> None:
        self._in_turn = True
        inbound = self._inbound
        before = inbound.received_bytes
        try:
            if not inbound.receive(READ_TURN_BYTES):
                self.close(None)
        except (FrameRefused, FileCutShort) as refused:
            self.close(str(refused))
        except ConnectionError:
            self.close(None)
        except OSError as error:
            self.close(f"{error.strerror or error}")
        finally:
            self._in_turn = False
        if inbound.received_bytes != before:
            self.last_active = self._loop.time()
        self._end_turn()

    def _end_turn(self) -> None:
        self._send()
        if not self._reading:
            self._resume_reading()
        self._on_turn_end()

    def read(self, frame: memoryview) -> None:
        """Handles one request."""
        pieces = self._handle(self, frame)
        outbound = self._outbound
        if self._exchanges:
            self._line_up(pieces)
        elif pieces is not None:
            if self.closed:
                _release(pieces)
                return
            for piece in pieces:
                outbound.append(piece)
            if not outbound.queued_bytes:
                return
        limits = self._limits
        if (
            len(self._exchanges) >= limits.in_flight_max
            or outbound.queued_bytes >= limits.queued_bytes_max
            or (outbound.queued_bytes and self._in_flight.answers_are_many)
        ) and not self.closed:
            self._stop_reading()

    def take_room(self, size: int) -> bool:
        """Whether there is room in memory for a frame of *size* bytes; when not, reading stops until there is."""
        if not self._has_room:
            self._has_room = self._in_flight.take(self, size, self._room_granted)
        if not self._has_room:
            self._waits_for_room = True
            self._stop_reading()
            self._loop.call_later(STALL_SECONDS, self._look_for_stalled)
        return self._has_room

    def give_room_back(self) -> None:
        if self._has_room:
            self._has_room = False
            self._in_flight.give_back(self)

    def _room_granted(self) -> None:
        self._has_room = True
        self._waits_for_room = False
        self._resume_reading()

    def _look_for_stalled(self) -> None:
        if self._waits_for_room and not self.closed and self._in_flight.close_stalled(self._loop.time()):
            self._loop.call_later(STALL_SECONDS, self._look_for_stalled)

    def _line_up(self, pieces: Sequence[Piece] | None) -> None:
        """Puts an answer that is there behind those that are not."""
        if pieces is not None:
            exchange = self.defer()
            exchange.pieces = pieces
        if self._exchanges[0].pieces is not None:
            self._move_answers()

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._inbound.stopped = True
            self._loop.remove_reader(self._socket.fileno())

    def _resume_reading(self) -> None:
        if self._reading or self.closed or self._draining or self._waits_for_room:
            return
        if (
            len(self._exchanges) > self._limits.in_flight_max // 2
            or self._outbound.queued_bytes > self._limits.queued_bytes_max // 2
            or (self._in_flight.answers_are_many and self._outbound.queued_bytes)
        ):
            return
        self._reading = True
        self._inbound.stopped = False
        self._loop.add_reader(self._socket.fileno(), self._on_readable)
        if self._inbound.holds:
            self._loop.call_soon(self._take_held_frames)

    def _take_held_frames(self) -> None:
        if self.closed or not self._reading:
            return
        self._in_turn = True
        try:
            self._inbound.take_held()
        except FrameRefused as refused:
            self.close(str(refused))
        finally:
            self._in_turn = False
        self._end_turn()

    # Writing

    def _move_answers(self) -> None:
        exchanges = self._exchanges
        append = self._outbound.append
        while exchanges:
            pieces = exchanges[0].pieces
            if pieces is None:
                return
            exchanges.popleft()
            for piece in pieces:
                append(piece)

    def _send(self) -> None:
        if self.closed:
            return
        if self._exchanges:
            self._move_answers()
        if self._writing:
            self._outbound.settle()
            return
        if not self._send_turn():
            self._writing = True
            self._loop.add_writer(self._socket.fileno(), self._on_writable)

    def _send_turn(self) -> bool:
        """True when there is nothing more to wait for."""
        before = self._outbound.sent_bytes
        try:
            empty = self._outbound.send(SEND_TURN_BYTES)
        except ConnectionError:
            self.close(None)
            return True
        except (OSError, FileCutShort) as error:
            self.close(str(error))
            return True
        if self._outbound.sent_bytes != before:
            self.last_active = self._loop.time()
        if empty and self._draining and not self._exchanges:
            self.close(None)
        return empty

    def _on_writable(self) -> None:
        if self._send_turn() and not self.closed:
            self._writing = False
            self._loop.remove_writer(self._socket.fileno())
        self._resume_reading()


def _release(pieces: Sequence[Piece] | None) -> None:
    for piece in pieces or ():
        if not isinstance(piece, (bytes, bytearray, memoryview)):
            piece.release()
