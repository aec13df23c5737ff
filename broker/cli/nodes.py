"""
Single brokers of a cluster, asked in the protocol itself: what librdkafka's admin client has no call for.

In the clear only; transactions and the sizes on the disks are told this way.
"""

import socket
import struct
from typing import Self, TypeVar

from broker.cli.refused import Refused
from broker.wire.declaration import Message, Request
from broker.wire.frame import decode_response, encode_request

M = TypeVar("M", bound=Message)

_TIMEOUT_S = 15.0
_ANSWER_BYTES_MAX = 256 << 20


class Node:
    """A connection to one broker. Raises Refused when it is not to be had."""

    def __init__(self, host: str, port: int) -> None:
        self.address = f"{host}:{port}"
        try:
            self._socket = socket.create_connection((host, port), timeout=_TIMEOUT_S)
        except OSError as error:
            raise Refused(f"{self.address} cannot be reached: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def ask(self, request: Request, response: type[M], version: int) -> M:
        """One request and its answer. Raises Refused when the broker ends the connection instead."""
        try:
            self._socket.sendall(encode_request(request, version, 1, "broker-cli"))
            (size,) = struct.unpack(">i", self._receive(4))
            if not 4 <= size <= _ANSWER_BYTES_MAX:
                raise Refused(f"{self.address} does not speak the Kafka protocol: it announced {size} bytes")
            return decode_response(response, version, self._receive(size))[1]
        except (OSError, EOFError) as error:
            raise Refused(
                f"{self.address} did not answer {request.api.name} v{version} ({error}); "
                "it may not serve that, or want TLS or a login"
            ) from error

    def _receive(self, size: int) -> bytes:
        received = bytearray()
        while len(received) < size:
            piece = self._socket.recv(size - len(received))
            if not piece:
                raise EOFError(f"the connection was closed after {len(received)} of {size} bytes")
            received += piece
        return bytes(received)
