"""
Bytes and file slices on their way to one non-blocking socket, in order.

An answer is a few short byte strings with file slices between them (a fetch answer: its header bytes, then whole
batches straight from the segment file). Byte strings that follow each other leave in one `sendmsg`, short ones as one,
because to hand over a piece costs more than to copy it; a slice leaves by
`os.sendfile`, which works below asyncio's loop and below uvloop's (uvloop has no sock_sendfile). A slice holds a
reference on its file until its last byte is sent or the connection is gone: a file descriptor's number is reused, and a
late slice would send a stranger's bytes.
"""

import os
import socket
from collections import deque
from typing import Protocol

from broker.server.in_flight import InFlight

# One sendfile call blocks the loop's thread while the kernel reads the file; a cold megabyte is about a millisecond.
SENDFILE_BYTES_MAX = 1 << 20
SENDMSG_PIECES_MAX = 64
COPIED_BYTES_MAX = 2048
JOINED_BYTES_MAX = 64 << 10
# MSG_MORE keeps a fetch answer's header in the same packet as its first batch. Only Linux has it.
MSG_MORE: int = getattr(socket, "MSG_MORE", 0)


class FileSlice(Protocol):
    """`size` bytes of an open file from `position` on; `release()` lets go of the file and may be called once only."""

    @property
    def position(self) -> int: ...
    @property
    def size(self) -> int: ...
    def fileno(self) -> int: ...
    def release(self) -> None: ...


Piece = bytes | bytearray | memoryview | FileSlice

_IN_MEMORY = (bytes, bytearray, memoryview)


class FileCutShort(Exception):
    """A file ended before the slice that was promised from it: the frame on the wire cannot be completed."""


class Outbound:
    """
    The queue of one connection. Raises OSError from the socket as it is; the connection then closes.

    `queued_bytes` does not count the short answers since the last `send` or `settle`, JOINED_BYTES_MAX at most.
    """

    __slots__ = (
        "_fresh",
        "_in_flight",
        "_in_memory",
        "_pieces",
        "_sent_of_head",
        "_socket",
        "queued_bytes",
        "sent_bytes",
    )

    def __init__(self, connected: socket.socket, in_flight: InFlight) -> None:
        self._socket = connected
        self._in_flight = in_flight
        self._in_memory = 0
        self._pieces: deque[Piece] = deque()
        self._fresh = bytearray()
        """Short pieces behind the last one of the queue."""
        self._sent_of_head: int = 0
        self.queued_bytes = 0
        self.sent_bytes = 0

    def append(self, piece: Piece) -> None:
        if not isinstance(piece, _IN_MEMORY):
            self._append_slice(piece)
            return
        size = len(piece)
        if size > COPIED_BYTES_MAX:
            self.settle()
            self._queue(piece, size)
            return
        fresh = self._fresh
        fresh += piece
        if len(fresh) > JOINED_BYTES_MAX - COPIED_BYTES_MAX:
            self.settle()

    def settle(self) -> None:
        """Puts the short answers that came last into the queue, where they are counted."""
        if self._fresh:
            fresh, self._fresh = self._fresh, bytearray()
            self._queue(fresh, len(fresh))

    def send(self, budget: int) -> bool:
        """Sends about *budget* bytes at most; True when nothing is left."""
        if self._fresh and not self._pieces:
            return self._send_fresh()
        self.settle()
        while self._pieces:
            if budget <= 0:
                return False
            try:
                head = self._pieces[0]
                sent = self._send_bytes() if isinstance(head, _IN_MEMORY) else self._send_file(head)
            except (BlockingIOError, InterruptedError):
                return False
            budget -= sent
            self.queued_bytes -= sent
            self.sent_bytes += sent
            self._advance(sent)
        return True

    def discard(self) -> None:
        """Lets go of everything that was not sent."""
        for piece in self._pieces:
            _let_go(piece)
        self._pieces.clear()
        self._fresh = bytearray()
        self._in_flight.unsent -= self._in_memory
        self._in_memory = 0
        self._sent_of_head = 0
        self.queued_bytes = 0

    def _queue(self, piece: bytes | bytearray | memoryview, size: int) -> None:
        self.queued_bytes += size
        self._in_memory += size
        self._in_flight.unsent += size
        self._pieces.append(piece)

    def _append_slice(self, piece: FileSlice) -> None:
        if piece.size == 0:
            piece.release()
            return
        self.settle()
        self.queued_bytes += piece.size
        self._pieces.append(piece)

    def _send_fresh(self) -> bool:
        """The ordinary case: nothing waits, and the socket takes the short answers of a whole turn at once."""
        fresh, self._fresh = self._fresh, bytearray()
        try:
            sent = self._socket.send(fresh)
        except (BlockingIOError, InterruptedError):
            sent = 0
        self.sent_bytes += sent
        if sent == len(fresh):
            return True
        self._queue(fresh, len(fresh))
        self.queued_bytes -= sent
        self._sent_of_head = sent
        return False

    def _send_bytes(self) -> int:
        run: list[bytes | bytearray | memoryview] = []
        flags = 0
        for piece in self._pieces:
            if not isinstance(piece, (bytes, bytearray, memoryview)):
                flags = MSG_MORE
                break
            if len(run) == SENDMSG_PIECES_MAX:
                break
            run.append(piece)
        if self._sent_of_head:
            run[0] = memoryview(run[0])[self._sent_of_head :]
        if len(run) == 1:
            return self._socket.send(run[0], flags)
        return self._socket.sendmsg(run, [], flags)

    def _send_file(self, piece: FileSlice) -> int:
        position = piece.position + self._sent_of_head
        count = min(piece.size - self._sent_of_head, SENDFILE_BYTES_MAX)
        sent = os.sendfile(self._socket.fileno(), piece.fileno(), position, count)
        if sent == 0:
            raise FileCutShort(f"the log file ended at byte {position}, {count} bytes short of the slice being sent")
        return sent

    def _advance(self, sent: int) -> None:
        sent += self._sent_of_head
        while sent:
            head = self._pieces[0]
            size = len(head) if isinstance(head, (bytes, bytearray, memoryview)) else head.size
            if sent < size:
                break
            sent -= size
            self._pieces.popleft()
            if isinstance(head, (bytes, bytearray, memoryview)):
                self._in_memory -= size
                self._in_flight.unsent -= size
            else:
                head.release()
        self._sent_of_head = sent


def _let_go(piece: Piece) -> None:
    if not isinstance(piece, (bytes, bytearray, memoryview)):
        piece.release()
