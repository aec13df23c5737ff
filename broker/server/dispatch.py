"""
From a frame to an answer: header, request, handler, response.

A frame that cannot be understood (an unknown key, a version that is not served, a body that does not decode) closes its
connection with one log line; so does a failure of our own, with its traceback: the client connects again, and nothing
else is disturbed. The one exception is ApiVersions in an unknown version, which is answered so that the client can come
down.
A produce request that repeats the last one of its connection takes a short way (handlers/repeated_produce.py).
"""

import logging
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, cast

from broker.errors import ErrorCode, ProtocolError, UnencodableMessage
from broker.handlers.context import Answer, ApiHandler, BrokerState, ConnectionMustClose, RequestContext
from broker.handlers.table import TABLE
from broker.server.connection import Connection, Exchange
from broker.server.inbound import FrameRefused
from broker.server.outbound import Piece
from broker.server.request_counts import ApiCounts, RequestCounts
from broker.wire.apis import ApiKey
from broker.wire.declaration import Request, Response
from broker.wire.frame import decode_request, encode_response, with_correlation_id
from broker.wire.headers import RequestHeader, decode_request_header

if TYPE_CHECKING:
    from broker.wire.messages.produce import ProduceRequest

LOG = logging.getLogger("broker.dispatch")


class Dispatcher:
    """Handles the frames of all connections."""

    def __init__(self, broker: BrokerState, deadlines_moved: Callable[[], None]) -> None:
        self.counts = RequestCounts()
        self._broker = broker
        self._produces = self.counts.by_api[ApiKey.PRODUCE]
        self._api_versions_frames: dict[int, bytes] = {}
        self._deadlines_moved = deadlines_moved
        self._may_have_moved_deadlines = False

    def turn_ended(self) -> None:
        """To be called when a connection's turn is over. An append that nobody waits for has moved no deadline."""
        if self._may_have_moved_deadlines:
            self._may_have_moved_deadlines = False
            self._deadlines_moved()

    def handle(self, connection: Connection, frame: memoryview) -> Sequence[Piece] | None:
        """
        One request's answer; None when it comes later, by an `Exchange` of the connection's. The frame's memory is used
        again after the return: handlers keep nothing of it. Raises FrameRefused when the connection has to close.
        """
        began = perf_counter()
        repeated = connection.repeated_produce
        if repeated is not None:
            try:
                produced = repeated.answer(frame)
            except Exception as error:
                raise self._not_repeated(connection, error) from error
            if produced is not None:
                self._produces.answered(perf_counter() - began)
                return (produced,)
        self._may_have_moved_deadlines = True
        try:
            header = decode_request_header(frame)
            row = TABLE.get(header.api.key)
            if header.api.key is ApiKey.API_VERSIONS and not header.api.lowest <= header.version <= header.api.highest:
                from broker.handlers.api_versions import unsupported_api_versions

                return _pieces(unsupported_api_versions(), 0, header.correlation_id)
            if row is None:
                self.counts.unreadable += 1
                raise FrameRefused(f"{header.api.name} is not served")
            request = decode_request(header, frame)
            answer = self._call(row, header, request, connection)
        except ProtocolError as error:
            self.counts.unreadable += 1
            raise FrameRefused(str(error)) from error
        except ConnectionMustClose as error:
            raise FrameRefused(str(error)) from error
        if header.api.key is ApiKey.PRODUCE:
            from broker.handlers.repeated_produce import RepeatedProduce

            # Two producers that take turns on one connection are not looked at every time.
            connection.repeated_produce = (
                RepeatedProduce.of(self._broker, header, cast("ProduceRequest", request))
                if connection.repeated_produce is None
                else None
            )
        if answer is None or isinstance(answer, Response):
            return self._answer(header, answer, began)
        exchange = connection.defer()
        answer.then(lambda response: self._answer_late(header, response, exchange, began))
        return None

    def _not_repeated(self, connection: Connection, error: Exception) -> FrameRefused:
        if isinstance(error, ProtocolError):
            self.counts.unreadable += 1
            return FrameRefused(str(error))
        return self._failed(connection, "Produce", self._produces, error)

    def _call(self, row: ApiHandler, header: RequestHeader, request: Request, connection: Connection) -> Answer:
        context = RequestContext(
            self._broker, header.version, header.client_id or "", connection.client_host, connection
        )
        try:
            return row.handle(context, request)
        except ConnectionMustClose:
            self.counts.by_api[header.api.key].failed += 1
            raise
        except Exception as error:
            name = f"{header.api.name} v{header.version}"
            raise self._failed(connection, name, self.counts.by_api[header.api.key], error) from error

    def _failed(self, connection: Connection, name: str, counts: ApiCounts, error: Exception) -> FrameRefused:
        counts.failed += 1
        LOG.exception("request failed peer=%s api=%s", connection.peer, name)
        return FrameRefused(f"{name} failed: {error!r}")

    def _answer_late(self, header: RequestHeader, response: Response | None, exchange: Exchange, began: float) -> None:
        try:
            pieces = self._answer(header, response, began)
        except FrameRefused as refused:
            # Whoever completed the answer, another connection's request perhaps, must not suffer for it.
            exchange.refuse(str(refused))
            return
        exchange.complete(pieces)

    def _answer(self, header: RequestHeader, response: Response | None, began: float) -> Sequence[Piece]:
        self.counts.by_api[header.api.key].answered(perf_counter() - began)
        if response is None:
            return ()
        if header.api.key is ApiKey.API_VERSIONS:
            return (self._api_versions_frame(header, response),)
        error = cast("int", getattr(response, "error_code", 0))
        if error:
            self._broker.count_error(header.api.key, error)
        try:
            return _pieces(response, header.version, header.correlation_id)
        except UnencodableMessage as error:
            # A bug of ours.
            LOG.exception("answer failed api=%s version=%d", header.api.name, header.version)
            raise FrameRefused(str(error)) from error

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
