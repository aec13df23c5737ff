"""
Bytes from one non-blocking socket, cut into frames.

Bytes go into one buffer that all connections share. A frame that does not fit whole gets a buffer of its own, and the
rest of it is received straight into that. Frames above FRAME_TRUST_BYTES are received into memory that grows with what
has really arrived, so that a claim alone costs none.
"""

import socket
import struct
from typing import Protocol

from broker.server.in_flight import FRAME_FREE_BYTES
from broker.server.receive_buffers import FRAME_BUFFER_BYTES, ReceiveBuffers

FRAME_TRUST_BYTES = 1 << 20
_SIZE_BYTES = 4

_read_size = struct.Struct(">i").unpack_from


class FrameRefused(Exception):
    """What the peer sent cannot be answered; the connection is closed with this text in the log."""


class FrameReader(Protocol):
    """Who handles the frames: the connection."""

    def read(self, frame: memoryview) -> None:
        """Handles a frame, given without its size prefix; its memory is used again after the return."""
        ...

    def take_room(self, size: int) -> bool:
        """Whether a large frame may be received now. When not, the reader stops, and has it for the next time."""
        ...

    def give_room_back(self) -> None:
        """The large frame was handled."""
        ...


class Inbound:
    """The receiving side of one connection."""

    __slots__ = (
        "_buffers",
        "_frame",
        "_frame_bytes_max",
        "_frame_filled",
        "_frame_size",
        "_held",
        "_lent",
        "_reader",
        "_socket",
        "received_bytes",
        "stopped",
    )

    def __init__(
        self, connected: socket.socket, frame_bytes_max: int, buffers: ReceiveBuffers, reader: FrameReader
    ) -> None:
        self._socket = connected
        self._frame_bytes_max = frame_bytes_max
        self._buffers = buffers
        self._reader = reader
        self._held = bytearray()
        """What has come of a frame that has no buffer yet, or of frames behind a stop."""
        self._frame: bytearray | None = None
        self._lent: bytearray | None = None
        self._frame_size = 0
        self._frame_filled = 0
        self.received_bytes = 0
        self.stopped = False
        """Set by the reader, between two frames too: what has come is held until it is taken back."""

    @property
    def holds(self) -> bool:
        """Whether there may be frames that came before a stop: no new readable event will come for them."""
        return bool(self._held)

    def receive(self, budget: int) -> bool:
        """
        Receives about *budget* bytes at most and hands the frames on; False when the peer has closed.

        Raises FrameRefused, and OSError as the socket gives it.
        """
        while budget > 0 and not self.stopped:
            try:
                if self._frame is not None:
                    received, wanted = self._fill_frame(self._frame)
                else:
                    received, wanted = self._fill_shared()
            except (BlockingIOError, InterruptedError):
                return True
            if received == 0:
                return False
            self.received_bytes += received
            if received < wanted:
                return True
            budget -= received
        return True

    def take_held(self) -> None:
        """Hands on the frames that were held back. Raises FrameRefused."""
        held, self._held = self._held, bytearray()
        self._cut(memoryview(held))

    def discard(self) -> None:
        """The connection has gone."""
        self.stopped = True
        self._frame = None
        self._held = bytearray()
        self._give_buffer_back()

    def _fill_shared(self) -> tuple[int, int]:
        """Receives into the shared buffer and hands on every whole frame in it."""
        shared = self._buffers.shared
        received = self._socket.recv_into(shared)
        view = memoryview(shared)[:received]
        if self._held:
            view = memoryview(self._held + view)
            self._held = bytearray()
        self._cut(view)
        return received, len(shared)

    def _fill_frame(self, frame: bytearray) -> tuple[int, int]:
        """Receives into the frame's own buffer; hands the frame on when it is full."""
        filled, size = self._frame_filled, self._frame_size
        if filled == len(frame):
            frame.extend(bytes(min(len(frame), size - len(frame))))
        end = min(len(frame), size)
        with memoryview(frame) as view, view[filled:end] as rest:
            received = self._socket.recv_into(rest)
        self._frame_filled = filled + received
        if filled + received == size:
            self._frame = None
            self._reader.read(memoryview(frame)[:size])
            self._give_buffer_back()
            self._reader.give_room_back()
        return received, end - filled

    def _cut(self, view: memoryview) -> None:
        read = self._reader.read
        position = 0
        end = len(view)
        while end - position >= _SIZE_BYTES and not self.stopped:
            size: int = _read_size(view, position)[0]
            frame_at = position + _SIZE_BYTES
            frame_end = frame_at + size
            if not 0 <= size <= self._frame_bytes_max:
                raise FrameRefused(
                    f"a frame of {size} bytes was announced; frames are 0 to {self._frame_bytes_max} bytes "
                    "(socket.request.max.bytes)"
                )
            if frame_end > end:
                if size > FRAME_FREE_BYTES and not self._reader.take_room(size):
                    break
                self._frame = self._buffer_for(size, end - frame_at)
                self._frame[: end - frame_at] = view[frame_at:]
                self._frame_size, self._frame_filled = size, end - frame_at
                return
            read(view[frame_at:frame_end])
            position = frame_end
        if position < end:
            self._held = bytearray(view[position:])

    def _buffer_for(self, size: int, filled: int) -> bytearray:
        if FRAME_FREE_BYTES < size <= FRAME_BUFFER_BYTES:
            self._lent = self._buffers.take()
            if self._lent is not None:
                return self._lent
        return bytearray(min(size, max(FRAME_TRUST_BYTES, filled)))

    def _give_buffer_back(self) -> None:
        if self._lent is not None:
            self._buffers.give_back(self._lent)
            self._lent = None
