"""A Kafka client of bare frames: what real clients would never send can be sent with it."""

import socket
import struct
from typing import Self, TypeVar

from broker.wire.declaration import Message, Request
from broker.wire.frame import decode_response, encode_request

M = TypeVar("M", bound=Message)


class RawClient:
    """One connection. Reads time out after *timeout* seconds, so that a test never hangs."""

    def __init__(self, host: str, port: int, *, timeout: float = 10, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        self._correlation_id = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, request: Request, version: int) -> int:
        """Sends one request; its correlation id."""
        self._correlation_id += 1
        self.socket.sendall(encode_request(request, version, self._correlation_id, "raw"))
        return self._correlation_id

    def send_frame(self, body: bytes) -> None:
        self.socket.sendall(struct.pack(">i", len(body)) + body)

    def receive_frame(self) -> bytes:
        """The next frame without its size prefix. Raises EOFError when the broker has closed."""
        (size,) = struct.unpack(">i", self._receive(4))
        return self._receive(size)

    def receive(self, response: type[M], version: int) -> tuple[int, M]:
        """Correlation id and answer."""
        return decode_response(response, version, self.receive_frame())

    def ask(self, request: Request, response: type[M], version: int) -> M:
        """One request and its answer."""
        correlation_id = self.send(request, version)
        answered, message = self.receive(response, version)
        assert answered == correlation_id
        return message

    def is_closed(self) -> bool:
        """Waits for the broker to close the connection; False when it sends something instead."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _receive(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            piece = self.socket.recv(size - len(received))
            if not piece:
                raise EOFError(f"the broker closed the connection after {len(received)} of {size} bytes")
            received += piece
        return bytes(received)
