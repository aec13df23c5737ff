"""
One client's TCP connection: frames in, answers out, in request order.

In      Readable: bytes go into one buffer that all connections share (the requests in it are handled before the next
        read). A frame that does not fit whole gets a buffer of exactly its size, and the rest of it is received
        straight into that.
Out     Every request has an `Exchange`. Answers may be completed in any order; they leave in the order of the requests.
        A parked one holds back the later ones of its own connection only.
Limits  Reading pauses while more than `in_flight_max` requests wait for their answers or more than `queued_bytes_max`
        bytes wait for a slow reader, and goes on below half of that; and while memory is short (see in_flight.py). A
        frame that is negative or above `frame_bytes_max` closes the connection.
End     On close everything that is parked for the connection is detached (`closed` callbacks) and queued file slices
        are let go: an answer that comes later must not reach a stranger who got the same descriptor number.
"""

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.server.in_flight import FRAME_FREE_BYTES, STALL_SECONDS, InFlight
from broker.server.outbound import FileCutShort, Outbound, Piece

LOG = logging.getLogger("broker.connection")

READ_BUFFER_BYTES = 256 * 1024
# What one connection may send or receive before the others get their turn.
SEND_TURN_BYTES = 4 << 20
READ_TURN_BYTES = 4 << 20
# Frames above this are received into a buffer that grows with what has really arrived, so that a claim alone costs no
# memory.
FRAME_TRUST_BYTES = 1 << 20

_read_size = struct.Struct(">i").unpack_from


class FrameRefused(Exception):
    """What the peer sent cannot be answered; the connection is closed with this text in the log."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    frame_bytes_max: int
    in_flight_max: int
    queued_bytes_max: int


class Exchange:
    """One request and the place of its answer in the connection's order."""

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


FrameHandler = Callable[["Connection", memoryview, Exchange], None]


class Connection:
    """Owns the socket from the moment it is given until `close`. Runs on the loop's thread only."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connected: socket.socket,
        peer: str,
        limits: ConnectionLimits,
        in_flight: InFlight,
        read_buffer: bytearray,
        handle: FrameHandler,
        on_turn_end: Callable[[], None],
    ) -> None:
        self.peer = peer
        self.client_host = peer.rpartition(":")[0]
        self.last_active = loop.time()
        self.closed = False
        self.received_bytes = 0
        self.close_callbacks: list[Callable[[], object]] = []
        self._loop = loop
        self._socket = connected
        self._limits = limits
        self._in_flight = in_flight
        self._read_buffer = read_buffer
        self._handle = handle
        self._on_turn_end = on_turn_end
        self._outbound = Outbound(connected, in_flight)
        self._exchanges: deque[Exchange] = deque()
        self._head = (
            bytearray()
        )  # what has come of a frame whose buffer is not made yet, or frames held back by a pause
        self._frame: bytearray | None = None
        self._frame_size = 0
        self._frame_filled = 0
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
        self._outbound.discard()
        self._frame = None
        self._head = bytearray()
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

    def answered(self) -> None:
        """An exchange was completed. Inside a turn the turn's end sends; outside of one it is sent at once."""
        if not self._in_turn:
            self._send()
            self._resume_reading()

    # Reading

    def _on_readable(self) -> None:
        self._in_turn = True
        try:
            self._read_turn()
        except (FrameRefused, FileCutShort) as refused:
            self.close(str(refused))
        except ConnectionError:
            self.close(None)
        except OSError as error:
            self.close(f"{error.strerror or error}")
        finally:
            self._in_turn = False
        self._send()
        self._resume_reading()
        self._on_turn_end()

    def _read_turn(self) -> None:
        budget = READ_TURN_BYTES
        while budget > 0 and not self.closed and self._reading:
            try:
                if self._frame is not None:
                    received, wanted = self._fill_frame(self._frame)
                else:
                    received, wanted = self._fill_shared()
            except (BlockingIOError, InterruptedError):
                return
            if received == 0:
                self.close(None)
                return
            self.last_active = self._loop.time()
            budget -= received
            self.received_bytes += received
            if received < wanted:
                return

    def _fill_frame(self, frame: bytearray) -> tuple[int, int]:
        """Receives into the frame's own buffer; handles the frame when it is full."""
        if self._frame_filled == len(frame):
            frame.extend(bytes(min(len(frame), self._frame_size - len(frame))))
        wanted = len(frame) - self._frame_filled
        with memoryview(frame) as view, view[self._frame_filled :] as rest:
            received = self._socket.recv_into(rest)
        self._frame_filled += received
        if self._frame_filled == self._frame_size:
            self._frame = None
            self._dispatch(memoryview(frame))
            if self._has_room:
                self._has_room = False
                self._in_flight.give_back(self)
        return received, wanted

    def _fill_shared(self) -> tuple[int, int]:
        """Receives into the shared buffer and handles every whole frame in it."""
        received = self._socket.recv_into(self._read_buffer)
        view = memoryview(self._read_buffer)[:received]
        if self._head:
            view = memoryview(self._head + view)
            self._head = bytearray()
        self._take_frames(view)
        return received, len(self._read_buffer)

    def _take_frames(self, view: memoryview) -> None:
        position = 0
        end = len(view)
        while end - position >= 4 and not self.closed:
            if not self._reading:
                self._head = bytearray(view[position:])
                return
            size: int = _read_size(view, position)[0]
            if size < 0 or size > self._limits.frame_bytes_max:
                raise FrameRefused(
                    f"a frame of {size} bytes was announced; frames are 0 to {self._limits.frame_bytes_max} bytes "
                    "(socket.request.max.bytes)"
                )
            if end - position - 4 < size:
                if size > FRAME_FREE_BYTES and not self._take_room(size):
                    self._head = bytearray(view[position:])
                    return
                filled = end - position - 4
                self._frame = bytearray(min(size, max(FRAME_TRUST_BYTES, filled)))
                self._frame[:filled] = view[position + 4 :]
                self._frame_size, self._frame_filled = size, filled
                return
            self._dispatch(view[position + 4 : position + 4 + size])
            position += 4 + size
        if position < end and not self.closed:
            self._head = bytearray(view[position:])

    def _take_room(self, size: int) -> bool:
        if not self._has_room:
            self._has_room = self._in_flight.take(self, size, self._room_granted)
        if not self._has_room:
            self._waits_for_room = True
            self._stop_reading()
            self._loop.call_later(STALL_SECONDS, self._look_for_stalled)
        return self._has_room

    def _room_granted(self) -> None:
        self._has_room = True
        self._waits_for_room = False
        self._resume_reading()

    def _look_for_stalled(self) -> None:
        if self._waits_for_room and not self.closed and self._in_flight.close_stalled(self._loop.time()):
            self._loop.call_later(STALL_SECONDS, self._look_for_stalled)

    def _dispatch(self, frame: memoryview) -> None:
        exchange = Exchange(self)
        exchanges = self._exchanges
        exchanges.append(exchange)
        self._handle(self, frame, exchange)
        # None are left when the request has closed the connection.
        if exchanges and exchanges[0].pieces is not None:
            self._move_answers()
        queued_bytes = self._outbound.queued_bytes
        limits = self._limits
        if (
            len(exchanges) >= limits.in_flight_max
            or queued_bytes >= limits.queued_bytes_max
            or (queued_bytes and self._in_flight.answers_are_many)
        ) and not self.closed:
            self._stop_reading()

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
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
        self._loop.add_reader(self._socket.fileno(), self._on_readable)
        if self._head:
            # Frames that were received before the pause: no new readable event will come for them.
            self._loop.call_soon(self._take_held_frames)

    def _take_held_frames(self) -> None:
        if self.closed or not self._reading or not self._head:
            return
        held, self._head = self._head, bytearray()
        self._in_turn = True
        try:
            self._take_frames(memoryview(held))
        except FrameRefused as refused:
            self.close(str(refused))
        finally:
            self._in_turn = False
        self._send()
        self._resume_reading()
        self._on_turn_end()

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
        self._move_answers()
        if self._writing:
            return
        if not self._send_turn():
            self._writing = True
            self._loop.add_writer(self._socket.fileno(), self._on_writable)

    def _send_turn(self) -> bool:
        """True when there is nothing more to wait for."""
        before = self._outbound.queued_bytes
        try:
            empty = self._outbound.send(SEND_TURN_BYTES)
        except ConnectionError:
            self.close(None)
            return True
        except (OSError, FileCutShort) as error:
            self.close(str(error))
            return True
        if self._outbound.queued_bytes != before:
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
