"""
From a frame to an answer: header, request, handler, response.

A frame that cannot be understood (an unknown key, a version that is not served, a body that does not decode) closes its
connection with one log line; so does a failure of our own, with its traceback: the client connects again, and nothing
else is disturbed. The one exception is ApiVersions in an unknown version, which is answered so that the client can come
down.
"""

import logging
from time import perf_counter
from typing import cast

from broker.errors import ErrorCode, ProtocolError, UnencodableMessage
from broker.handlers.context import Answer, ApiHandler, BrokerState, ConnectionMustClose, RequestContext
from broker.handlers.table import TABLE, unsupported_api_versions
from broker.server.connection import Connection, Exchange, FrameRefused
from broker.server.outbound import Piece
from broker.server.request_counts import RequestCounts
from broker.wire.apis import ApiKey
from broker.wire.declaration import Response
from broker.wire.frame import decode_request, encode_response, with_correlation_id
from broker.wire.headers import RequestHeader, decode_request_header

LOG = logging.getLogger("broker.dispatch")


class Dispatcher:
    """Handles the frames of all connections."""

    def __init__(self, broker: BrokerState) -> None:
        self.counts = RequestCounts()
        self._broker = broker
        self._api_versions_frames: dict[int, bytes] = {}

    def handle(self, connection: Connection, frame: memoryview, exchange: Exchange) -> None:
        """
        Answers one request, now or later, on *exchange*. The frame's memory is used again after the return: handlers
        keep nothing of it. Raises FrameRefused when the connection has to close.
        """
        began = perf_counter()
        try:
            header = decode_request_header(frame)
            row = TABLE.get(header.api.key)
            if header.api.key is ApiKey.API_VERSIONS and not header.api.lowest <= header.version <= header.api.highest:
                exchange.complete(_pieces(unsupported_api_versions(), 0, header.correlation_id))
                return
            if row is None:
                self.counts.unreadable += 1
                raise FrameRefused(f"{header.api.name} is not served")
            answer = self._call(row, header, frame, connection)
        except ProtocolError as error:
            self.counts.unreadable += 1
            raise FrameRefused(str(error)) from error
        except ConnectionMustClose as error:
            raise FrameRefused(str(error)) from error
        if answer is None or isinstance(answer, Response):
            self._answer(header, answer, exchange, began)
        else:
            answer.then(lambda response: self._answer(header, response, exchange, began))

    def _call(self, row: ApiHandler, header: RequestHeader, frame: memoryview, connection: Connection) -> Answer:
        request = decode_request(header, frame)
        context = RequestContext(
            self._broker, header.version, header.client_id or "", connection.client_host, connection
        )
        try:
            return row.handle(context, request)
        except ConnectionMustClose:
            self.counts.by_api[header.api.key].failed += 1
            raise
        except Exception as error:
            self.counts.by_api[header.api.key].failed += 1
            LOG.exception("request failed peer=%s api=%s version=%d", connection.peer, header.api.name, header.version)
            raise FrameRefused(f"{header.api.name} v{header.version} failed: {error!r}") from error

    def _answer(self, header: RequestHeader, response: Response | None, exchange: Exchange, began: float) -> None:
        self.counts.by_api[header.api.key].answered(perf_counter() - began)
        if response is None:
            exchange.complete(())
            return
        if header.api.key is ApiKey.API_VERSIONS:
            exchange.complete([self._api_versions_frame(header, response)])
            return
        error = cast("int", getattr(response, "error_code", 0))
        if error:
            self._broker.count_error(header.api.key, error)
        try:
            pieces = _pieces(response, header.version, header.correlation_id)
        except UnencodableMessage as error:
            # A bug of ours. Whoever completed the answer, another connection's request perhaps, must not suffer for it.
            LOG.exception("answer failed api=%s version=%d", header.api.name, header.version)
            exchange.refuse(str(error))
            return
        exchange.complete(pieces)

    def _api_versions_frame(self, header: RequestHeader, response: Response) -> bytes:
        # Every client asks this first; the good answer is the same bytes each time.
        if getattr(response, "error_code", ErrorCode.NONE) != ErrorCode.NONE:
            return _frame(response, header.version, header.correlation_id)
        known = self._api_versions_frames.get(header.version)
        if known is None:
            known = _frame(response, header.version, 0)
            self._api_versions_frames[header.version] = known
        return with_correlation_id(known, header.correlation_id)


def _pieces(response: Response, version: int, correlation_id: int) -> list[Piece]:
    # What handlers put into a records field is bytes or a LogSlice, and the codec gives it back as it is.
    return cast("list[Piece]", encode_response(response, version, correlation_id))


def _frame(response: Response, version: int, correlation_id: int) -> bytes:
    """The whole frame of a response that holds no records."""
    return b"".join(cast("list[bytes]", encode_response(response, version, correlation_id)))
