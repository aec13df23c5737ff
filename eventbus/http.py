"""
The framework's errors over HTTP, what probes ask, the caller's trace, and a server for a service's HTTP face.

    api = FastAPI(lifespan=app.lifespan, exception_handlers=http_errors)
    api.mount("/health", health(app))
    api.add_middleware(TraceContext)     # `serve` does it by itself

Each answer is an RFC 9457 problem (`application/problem+json`):

    DomainError            409   the rule's words; `type` names it: `urn:eventbus:problem:order-already-placed`
    ConcurrencyConflict    409   the retries are used up
    StreamNotFound         404
    DatabaseUnavailable    503   with Retry-After; without the reason, which may name hosts: that is logged
    BrokerUnavailable      503   the same
    NotYetApplied          503   with Retry-After; the command has happened, the view has not seen it yet
    SchemaOutdated         503   with Retry-After; a view whose version is not built yet, which is logged

Everything else stays a 500: it is not the caller's to see. Needs the extra `http` (`pip install eventbus-msa[http]`).
"""

import logging
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn, TypeAlias, cast

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from eventbus.application import Application, ApplicationStatus
from eventbus.errors import (
    ConcurrencyConflict,
    DefinitionError,
    DomainError,
    EventBusError,
    NotYetApplied,
    SchemaOutdated,
    StreamNotFound,
    Unavailable,
)
from eventbus.observability import continued

ErrorHandlers: TypeAlias = dict[  # pyright: ignore[reportExplicitAny]  as FastAPI declares its parameter, a dict is invariant
    int | type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]
]

RETRY_AFTER_SECONDS: Final = 1
USAGE_ERROR: Final = 2
"""The exit code for what the operator has to mend."""

_TOLD: Final = frozenset({"not built", "paused", "stopped"})

_log = logging.getLogger("eventbus.http")


async def _conflict(_: Request, error: EventBusError) -> Response:
    return _problem(error, 409, str(error))


async def _not_found(_: Request, error: StreamNotFound) -> Response:
    return _problem(error, 404, f"{error.stream} is not known")


async def _unavailable(request: Request, error: Unavailable | SchemaOutdated) -> Response:
    _log.warning("%s %s: 503: %s", request.method, request.url.path, error)
    return _problem(error, 503, "A part that this service needs is away for now: try again.", retry=True)


async def _not_yet(_: Request, error: NotYetApplied) -> Response:
    return _problem(error, 503, str(error), retry=True)


http_errors: ErrorHandlers = {
    DomainError: _conflict,
    ConcurrencyConflict: _conflict,
    StreamNotFound: _not_found,
    Unavailable: _unavailable,
    NotYetApplied: _not_yet,
    SchemaOutdated: _unavailable,
}
"""For `FastAPI(exception_handlers=http_errors)`, or Starlette's. A class stands for those derived from it, too."""


def health(app: Application) -> Starlette:
    """
    What probes ask of a service, to be mounted: `api.mount("/health", health(app))`.

    /live    200 as long as the process answers
    /ready   200 when requests may come; 503 before, and while something is away: `problems` says what. An instance of a
             release with a new version of a projection is not ready until that version is built and switched to
    """

    async def live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_: Request) -> Response:
        try:
            status = await app.status()
        except DefinitionError:  # its lifespan has not been entered, or has been left
            return JSONResponse({"service": app.name, "ready": False, "problems": ["not running"]}, 503)
        body = {"service": app.name, "ready": status["ready"], "problems": _problems(status)}
        return JSONResponse(body, 200 if status["ready"] else 503)

    return Starlette(routes=[Route("/live", live), Route("/ready", ready)])


def _problems(status: ApplicationStatus) -> list[str]:
    """Without the reasons of what is away, which may name hosts: `Application.status` has them."""
    consumers = [consumer for consumer in status["consumers"] if consumer["state"] != "running"]
    return [
        *([] if status["problem"] is None else [status["problem"].partition(":")[0]]),
        *(
            f"{consumer['name']}: {consumer['state']}"
            + (f": {consumer['reason']}" if consumer["state"] in _TOLD and consumer["reason"] else "")
            for consumer in consumers
        ),
    ]


def serve(api: str, *, host: str = "127.0.0.1", port: int = 8000) -> None:
    """
    Serves `module:attribute`, an ASGI application, with uvicorn, until SIGTERM or SIGINT; returns after a clean stop.

    What the operator or the developer has to mend (InvalidConfiguration, DefinitionError, SchemaOutdated, …) is one
    sentence on standard error and SystemExit(2); a server that cannot start otherwise is SystemExit(3), as uvicorn's.
    """
    import uvicorn
    from uvicorn.importer import ImportFromStringError, import_from_string

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its inventory of plugins is nobody's news
    try:
        application: ASGIApp = import_from_string(api)
    except (EventBusError, ImportFromStringError) as error:
        _refuse(error)
    watched = _LifespanWatch(TraceContext(application))
    server = uvicorn.Server(uvicorn.Config(watched, host=host, port=port, access_log=False))

    def stop_before_start(number: int, _: object) -> None:
        # uvicorn has handlers of its own while it runs, and raises the signal again afterwards: that is a clean stop.
        if not server.started:
            raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop_before_start)
    try:
        server.run()
    except SystemExit:
        if watched.failure is None:
            raise
    if watched.failure is not None:
        _refuse(watched.failure)
    if not server.started:
        raise SystemExit(3)


class TraceContext:
    """
    ASGI middleware: what a request leads to, in this service and in those that handle its events, belongs to the trace
    that its W3C `traceparent` header names. Does nothing where OpenTelemetry instruments the server.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        traceparent = Headers(scope=scope).get("traceparent") if scope["type"] in {"http", "websocket"} else None
        with continued(traceparent):
            await self._app(scope, receive, send)


class _LifespanWatch:
    """An ASGI application that remembers an EventBusError of its start, in place of the traceback."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self.failure: EventBusError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._application(scope, receive, send)
            return
        failed: list[Message] = []

        async def hold_failure(message: Message) -> None:
            if message["type"].endswith(".failed"):
                failed.append(message)
            else:
                await send(message)

        try:
            await self._application(scope, receive, hold_failure)
        except Exception as error:
            self.failure = _ours(error)
            if self.failure is None or not failed:
                for message in failed:
                    await send(message)
                raise
            await send({"type": failed[0]["type"], "message": ""})


def _ours(error: BaseException) -> EventBusError | None:
    """The EventBusError that *error* is, or that a group of errors has in it."""
    if isinstance(error, EventBusError):
        return error
    if isinstance(error, BaseExceptionGroup):
        parts = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return next((found for part in parts if (found := _ours(part)) is not None), None)
    return None


def _refuse(error: Exception) -> NoReturn:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(USAGE_ERROR) from None


def _problem(error: Exception, status: int, detail: str, *, retry: bool = False) -> Response:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", type(error).__name__).lower()
    return JSONResponse(
        {
            "type": f"urn:eventbus:problem:{words.replace(' ', '-')}",
            "title": words.capitalize(),
            "status": status,
            "detail": detail,
        },
        status,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)} if retry else None,
        media_type="application/problem+json",
    )
