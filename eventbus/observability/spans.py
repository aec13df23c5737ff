"""
Spans of what a service does, and traces that go from one process to the next, through OpenTelemetry's API alone.

Source      W3C Trace Context
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from eventbus.observability.names import (
    BATCH_COUNT,
    DESTINATION,
    ERROR,
    GROUP,
    KAFKA,
    MESSAGE_ID,
    MESSAGE_TYPE,
    OFFSET,
    OPERATION,
    OPERATION_TYPE,
    PARTITION,
    SYSTEM,
)

_tracer = trace.get_tracer("eventbus")
_propagator = TraceContextTextMapPropagator()


def current_traceparent() -> str | None:
    """The W3C traceparent of the span that is current here; None outside of any."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


@contextmanager
def continued(traceparent: str | None) -> Generator[None, None, None]:
    """
    What is done in the block belongs to the caller's trace. Without effect where a span is current, such as that of an
    instrumented HTTP server, and for a *traceparent* that is none.
    """
    context = None if traceparent is None or current_traceparent() is not None else _span_context(traceparent)
    if context is None:
        yield
        return
    with trace.use_span(trace.NonRecordingSpan(context)):
        yield


def is_traced() -> bool:
    """
    Whether spans go anywhere: an OpenTelemetry SDK is there. One that is installed later is noticed at once by whoever
    asks here, and within a tenth of a second by whoever asks `is_traced_lately`.
    """
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


class _Tracing:
    """The last answer of `is_traced`: the question costs as much as the rest of a query."""

    __slots__ = ("answer", "asked_at")

    def __init__(self) -> None:
        self.answer = False
        self.asked_at = -1.0


_tracing: Final = _Tracing()
_TRACING_ASKED_SECONDS: Final = 0.1


def is_traced_lately() -> bool:
    """`is_traced`, asked at most ten times a second; once true, for good."""
    if _tracing.answer:
        return True
    now = monotonic()
    if now - _tracing.asked_at > _TRACING_ASKED_SECONDS:
        _tracing.asked_at = now
        _tracing.answer = is_traced()
    return _tracing.answer


@contextmanager
def command_span(message_type: str, message_id: str) -> Generator[Span, None, None]:
    """The handling of a command or query, a child of what is current: the HTTP request, as a rule."""
    with _span(
        f"handle {message_type}", SpanKind.INTERNAL, {MESSAGE_TYPE: message_type, MESSAGE_ID: message_id}
    ) as span:
        yield span


@contextmanager
def process_span(
    topic: str, group: str, partition: int, first_offset: int, messages: int, creators: tuple[str, ...]
) -> Generator[Span, None, None]:
    """The handling of a batch: CONSUMER, linked to the spans that created its messages (*creators*: traceparents)."""
    links = [Link(context) for creator in creators if (context := _span_context(creator)) is not None]
    attributes: dict[str, str | int] = {
        SYSTEM: KAFKA,
        DESTINATION: topic,
        GROUP: group,
        OPERATION: "process",
        OPERATION_TYPE: "process",
        PARTITION: str(partition),
        OFFSET: first_offset,
        BATCH_COUNT: messages,
    }
    with _span(f"process {topic}", SpanKind.CONSUMER, attributes, links) as span:
        yield span


@contextmanager
def publish_span(topic: str, messages: int) -> Generator[Span, None, None]:
    """The publishing of a batch: PRODUCER."""
    attributes: dict[str, str | int] = {
        SYSTEM: KAFKA,
        DESTINATION: topic,
        OPERATION: "publish",
        OPERATION_TYPE: "send",
        BATCH_COUNT: messages,
    }
    with _span(f"publish {topic}", SpanKind.PRODUCER, attributes) as span:
        yield span


@contextmanager
def _span(
    name: str, kind: SpanKind, attributes: Mapping[str, str | int], links: list[Link] | None = None
) -> Generator[Span, None, None]:
    # Without an SDK the API's own no-op span takes longer than the rest of a query.
    if not is_traced():
        yield trace.INVALID_SPAN
        return
    with _tracer.start_as_current_span(
        name, kind=kind, attributes=attributes, links=links, record_exception=True, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except Exception as error:
            span.set_attribute(ERROR, type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR, str(error)))
            raise


def _span_context(traceparent: str) -> trace.SpanContext | None:
    context = trace.get_current_span(_propagator.extract({"traceparent": traceparent})).get_span_context()
    return context if context.is_valid else None
