"""
What a running service counts and traces; every OpenTelemetry name is in this module.

The messaging conventions are in development: 1.45 renames `messaging.system` to `messaging.system.name` and
`messaging.kafka.*` to `kafka.*`. A rename is a change here and nowhere else.

Two audiences, two ways out
    Counters      a service's own numbers, shown by `app.status()` and the CLI: no exporter needed
    OpenTelemetry metrics and spans, through the API alone: without an SDK they cost next to nothing

Source      OpenTelemetry semantic conventions 1.45, messaging; W3C Trace Context
"""

import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final, Generic, TypeVar

from opentelemetry import metrics, trace
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# The names of `Counters`: unit, then what a person on call reads out of them.
EVENTS_HANDLED: Final = "events.handled"
"""By a handler, each once."""
EVENTS_REPEATED: Final = "events.repeated"
"""Dropped by the inbox: the relay had published them twice."""
EVENTS_PROJECTED: Final = "events.projected"
"""Applied to a view; labelled by consumer, the projection."""
EVENTS_SKIPPED: Final = "events.skipped"
"""Of a type that no handler of this service takes; labelled by type."""
EVENTS_RETRIED: Final = "events.retried"
"""Tried again in place after a failure."""
EVENTS_DEAD_LETTERED: Final = "events.dead_lettered"
"""Their attempts are used up, or they cannot be decoded."""
EVENTS_PARKED: Final = "events.parked"
"""Waiting behind a dead letter of their key; labelled by handler."""
EVENTS_DELAYED: Final = "events.delayed"
"""Written to a delay topic, to be handled later; labelled by handler."""
EVENTS_DRAINED: Final = "events.drained"
"""Handled after they had waited there; labelled by handler."""
EVENTS_REVIVED: Final = "events.revived"
"""Dead letters that were handled after all; labelled by handler."""
EVENTS_PUBLISHED: Final = "events.published"
"""Brought from the outbox to the log."""
EVENTS_REFUSED: Final = "events.refused"
"""Records that the log refuses for good; each blocks its key."""
COMMANDS_HANDLED: Final = "commands.handled"
"""Their transaction is committed."""
COMMANDS_REPEATED: Final = "commands.repeated"
"""Answered with the first receipt."""
COMMANDS_FAILED: Final = "commands.failed"
"""With an error that reached the caller."""
COMMANDS_RETRIED: Final = "commands.retried"
"""After a concurrency conflict."""
QUERIES_ANSWERED: Final = "queries.answered"
"""By their handler."""
QUERIES_FAILED: Final = "queries.failed"
"""With an error that reached the caller."""

_SYSTEM: Final = "messaging.system.name"
_OPERATION: Final = "messaging.operation.name"
_OPERATION_TYPE: Final = "messaging.operation.type"
_DESTINATION: Final = "messaging.destination.name"
_GROUP: Final = "messaging.consumer.group.name"
_MESSAGE_ID: Final = "messaging.message.id"
_MESSAGE_TYPE: Final = "cloudevents.event_type"
_BATCH_COUNT: Final = "messaging.batch.message_count"
_PARTITION: Final = "messaging.destination.partition.id"
_OFFSET: Final = "kafka.offset"
_ERROR: Final = "error.type"
_HANDLER: Final = "eventbus.handler.name"
_SERVICE: Final = "eventbus.service.name"
_KAFKA: Final = "kafka"

_meter = metrics.get_meter("eventbus")
_tracer = trace.get_tracer("eventbus")
_propagator = TraceContextTextMapPropagator()

_sent = _meter.create_counter(
    "messaging.client.sent.messages", unit="{message}", description="Messages that were published"
)
_consumed = _meter.create_counter(
    "messaging.client.consumed.messages", unit="{message}", description="Messages that were read"
)
_operation_duration = _meter.create_histogram(
    "messaging.client.operation.duration", unit="s", description="How long the publishing of a batch took"
)
_handler_duration = _meter.create_histogram(
    "eventbus.handler.duration", unit="s", description="How long a handler took for one message"
)
_process_duration = _meter.create_histogram(
    "messaging.process.duration",
    unit="s",
    description="How long a message of a batch took in the mean, its transaction included",
)


Figures = TypeVar("Figures")


class _Gauges(Generic[Figures]):
    """What is known of each service that runs here, and the gauges that tell it when they are asked."""

    def __init__(self) -> None:
        self.figures: dict[str, Figures] = {}

    def put(self, service: str, figures: Figures | None) -> None:
        if figures is None:
            self.figures.pop(service, None)
        else:
            self.figures[service] = figures

    def gauge(self, name: str, unit: str, description: str, value: Callable[[Figures], float]) -> None:
        def observe(_: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
            return [metrics.Observation(value(of), {_SERVICE: service}) for service, of in list(self.figures.items())]

        _meter.create_observable_gauge(name, [observe], unit=unit, description=description)


@dataclass(frozen=True, slots=True)
class OutboxFigures:
    """What waits for a service's relay: rows, the age of the oldest in seconds, and rows that the log refuses."""

    rows: int
    oldest_age_seconds: float
    blocked: int


_outboxes: _Gauges[OutboxFigures] = _Gauges()


def outbox_figures(service: str, figures: OutboxFigures | None) -> None:
    """The service's outbox as of now, for the gauges; None: its relay does not run here any more."""
    _outboxes.put(service, figures)


_outboxes.gauge("eventbus.outbox.rows", "{row}", "Rows that wait for the relay", lambda figures: figures.rows)
_outboxes.gauge(
    "eventbus.outbox.oldest.age",
    "s",
    "Age of the oldest row that waits for the relay",
    lambda figures: figures.oldest_age_seconds,
)
_outboxes.gauge(
    "eventbus.outbox.blocked",
    "{row}",
    "Rows that the log refuses; each blocks its key",
    lambda figures: figures.blocked,
)


@dataclass(frozen=True, slots=True)
class ParkingFigures:
    """What a service has parked: keys, events that wait there, and the age of the oldest of the keys in seconds."""

    keys: int
    events: int
    oldest_age_seconds: float


_parkings: _Gauges[ParkingFigures] = _Gauges()


def parking_figures(service: str, figures: ParkingFigures | None) -> None:
    """What the service has parked as of now, for the gauges; None: it does not run here any more."""
    _parkings.put(service, figures)


_parkings.gauge(
    "eventbus.parked.keys", "{key}", "Keys whose events wait behind a dead letter", lambda figures: figures.keys
)
_parkings.gauge(
    "eventbus.parked.events",
    "{event}",
    "Events that wait behind a dead letter of their key",
    lambda figures: figures.events,
)
_parkings.gauge(
    "eventbus.parked.oldest.age",
    "s",
    "Age of the oldest of the parked keys",
    lambda figures: figures.oldest_age_seconds,
)


@dataclass(frozen=True, slots=True)
class Count:
    """One counter with one set of labels."""

    name: str
    labels: tuple[tuple[str, str], ...]
    value: int


class Counter:
    """One number of `Counters`, for whoever counts it often: looked up once."""

    __slots__ = ("_lock", "_value")

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._value = 0

    def add(self, amount: int = 1) -> None:
        with self._lock:
            self._value += amount

    @property
    def value(self) -> int:
        return self._value


class Counters:
    """
    Numbers of one service that only grow, by name and labels. Safe in threads; one `add` is well below a microsecond.

    Use it for what a person asks a running service; for rates over time, use what OpenTelemetry exports.
    """

    __slots__ = ("_counters", "_lock")

    def __init__(self) -> None:
        self._counters: dict[tuple[str, tuple[tuple[str, str], ...]], Counter] = {}
        self._lock = threading.Lock()

    def counter(self, name: str, /, **labels: str) -> Counter:
        """The counter itself. It is not among `counts` until something was counted."""
        key = (name, tuple(sorted(labels.items())) if labels else ())
        return self._counters.get(key) or self._counters.setdefault(key, Counter(self._lock))

    def add(self, name: str, amount: int = 1, /, **labels: str) -> None:
        self.counter(name, **labels).add(amount)

    def value(self, name: str, /, **labels: str) -> int:
        """The sum over every set of labels that has these among it; 0 when nothing was counted."""
        wanted = labels.items()
        return sum(
            counter.value
            for (counted, pairs), counter in list(self._counters.items())
            if counted == name and wanted <= set(pairs)
        )

    def counts(self) -> list[Count]:
        """Everything counted so far, by name and labels."""
        found = sorted(self._counters.items(), key=lambda item: item[0])
        return [Count(name, labels, counter.value) for (name, labels), counter in found if counter.value]


def sent(topic: str, messages: int, seconds: float, error: str | None = None) -> None:
    """A batch went to *topic* (or failed with the class *error*), in *seconds*."""
    attributes = {_SYSTEM: _KAFKA, _DESTINATION: topic, _OPERATION: "publish", _OPERATION_TYPE: "send"}
    if error is not None:
        attributes[_ERROR] = error
    _sent.add(messages, attributes)
    _operation_duration.record(seconds, attributes)


def consumed(topic: str, group: str, messages: int) -> None:
    """A batch came from *topic*."""
    _consumed.add(
        messages,
        {_SYSTEM: _KAFKA, _DESTINATION: topic, _GROUP: group, _OPERATION: "poll", _OPERATION_TYPE: "receive"},
    )


def processed(topic: str, group: str, messages: int, seconds: float, error: str | None = None) -> None:
    """A batch of *topic* was handled in *seconds*, each message in the mean of that."""
    attributes = {
        _SYSTEM: _KAFKA,
        _DESTINATION: topic,
        _GROUP: group,
        _OPERATION: "process",
        _OPERATION_TYPE: "process",
    }
    if error is not None:
        attributes[_ERROR] = error
    if messages:
        _process_duration.record(seconds / messages, attributes)


def handled(handler: str, message_type: str, seconds: float, error: str | None = None) -> None:
    """A handler has returned, or failed with the class *error*, after *seconds*."""
    attributes = {_HANDLER: handler, _MESSAGE_TYPE: message_type}
    if error is not None:
        attributes[_ERROR] = error
    _handler_duration.record(seconds, attributes)


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
        f"handle {message_type}", SpanKind.INTERNAL, {_MESSAGE_TYPE: message_type, _MESSAGE_ID: message_id}
    ) as span:
        yield span


@contextmanager
def process_span(
    topic: str, group: str, partition: int, first_offset: int, messages: int, creators: tuple[str, ...]
) -> Generator[Span, None, None]:
    """The handling of a batch: CONSUMER, linked to the spans that created its messages (*creators*: traceparents)."""
    links = [Link(context) for creator in creators if (context := _span_context(creator)) is not None]
    attributes: dict[str, str | int] = {
        _SYSTEM: _KAFKA,
        _DESTINATION: topic,
        _GROUP: group,
        _OPERATION: "process",
        _OPERATION_TYPE: "process",
        _PARTITION: str(partition),
        _OFFSET: first_offset,
        _BATCH_COUNT: messages,
    }
    with _span(f"process {topic}", SpanKind.CONSUMER, attributes, links) as span:
        yield span


@contextmanager
def publish_span(topic: str, messages: int) -> Generator[Span, None, None]:
    """The publishing of a batch: PRODUCER."""
    attributes: dict[str, str | int] = {
        _SYSTEM: _KAFKA,
        _DESTINATION: topic,
        _OPERATION: "publish",
        _OPERATION_TYPE: "send",
        _BATCH_COUNT: messages,
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
            span.set_attribute(_ERROR, type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR, str(error)))
            raise


def _span_context(traceparent: str) -> trace.SpanContext | None:
    context = trace.get_current_span(_propagator.extract({"traceparent": traceparent})).get_span_context()
    return context if context.is_valid else None
