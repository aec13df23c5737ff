"""
HTTP/1.1 for three pages: /metrics, /healthz, /readyz. GET and HEAD; a connection answers one request.

Healthy     the loop's thread answers at all
Ready       200 while clients' connections are accepted, 503 while the broker stops. Before it is ready nobody answers:
            the address is listened on, and who connects waits
Limits      a request's head of HEAD_BYTES_MAX, TIMEOUT_S to send it and as long to take the answer, CONNECTIONS_MAX at
            once; above these the connection is closed. Pages are made on the loop's thread, one at a time
"""

import asyncio
import contextlib
import logging
import socket

from broker.server.broker import Broker
from broker.server.metrics.collector import Collector
from broker.server.metrics.exposition import CONTENT_TYPE
from broker.server.metrics.loop_lag import LoopLag

LOG = logging.getLogger("broker.metrics")

HEAD_BYTES_MAX = 8 * 1024
TIMEOUT_S = 5.0
CONNECTIONS_MAX = 32

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_TEXT = "text/plain; charset=utf-8"


class MetricsServer:
    """On a bound socket, which it closes. Made by `start()`, on the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, broker: Broker) -> None:
        self._broker = broker
        self._lag = LoopLag(loop)
        self._collector = Collector(broker, self._lag)
        self._server: asyncio.Server | None = None
        self._connections = 0

    @classmethod
    async def start(cls, broker: Broker, bound: socket.socket) -> "MetricsServer":
        """Listens on *bound*."""
        started = cls(asyncio.get_running_loop(), broker)
        started._server = await asyncio.start_server(started._serve, sock=bound, limit=HEAD_BYTES_MAX)
        return started

    def stop(self) -> None:
        """Takes no more connections; what is being answered has its timeout."""
        self._lag.stop()
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= CONNECTIONS_MAX:
                async with asyncio.timeout(TIMEOUT_S):
                    answer = await self._answer(reader)
                async with asyncio.timeout(TIMEOUT_S):
                    writer.write(answer)
                    await writer.drain()
                    writer.write_eof()
                    # Closing on what was not read would reset the connection, and the answer be lost on its way.
                    await reader.read(HEAD_BYTES_MAX)
        except (TimeoutError, OSError):
            writer.transport.abort()
        except Exception:
            LOG.exception("metrics request failed")
        finally:
            self._connections -= 1
            with contextlib.suppress(OSError):
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""
        except asyncio.LimitOverrunError:
            return _response(431, _TEXT, f"a request's head may have {HEAD_BYTES_MAX} bytes\n")
        words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _response(400, _TEXT, "expected GET /metrics HTTP/1.1\n")
        method, target, _ = words
        if method not in ("GET", "HEAD"):
            return _response(405, _TEXT, f"{method} is not served, GET and HEAD are\n", extra="Allow: GET, HEAD\r\n")
        status, kind, body = self._route(target.partition("?")[0])
        return _response(status, kind, body, is_head=method == "HEAD")

    def _route(self, path: str) -> tuple[int, str, str]:
        match path:
            case "/metrics":
                return 200, CONTENT_TYPE, self._collector.page()
            case "/healthz":
                return 200, _TEXT, "ok\n"
            case "/readyz":
                return (503, _TEXT, "stopping\n") if self._broker.state.stopping else (200, _TEXT, "ready\n")
            case _:
                return 404, _TEXT, "there are /metrics, /healthz and /readyz\n"


def _response(status: int, kind: str, body: str, *, is_head: bool = False, extra: str = "") -> bytes:
    content = body.encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n"
        f"{extra}Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (b"" if is_head else content)
