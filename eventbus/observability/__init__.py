"""
What a running service counts and traces.

Two audiences, two ways out
    Counters      a service's own numbers, shown by `app.status()` and the CLI: no exporter needed
    OpenTelemetry metrics, gauges and spans, through the API alone: without an SDK they cost next to nothing
"""

from eventbus.observability.counters import (
    COMMANDS_FAILED,
    COMMANDS_HANDLED,
    COMMANDS_REPEATED,
    COMMANDS_RETRIED,
    EVENTS_DEAD_LETTERED,
    EVENTS_DELAYED,
    EVENTS_DRAINED,
    EVENTS_HANDLED,
    EVENTS_PARKED,
    EVENTS_PROJECTED,
    EVENTS_PUBLISHED,
    EVENTS_REFUSED,
    EVENTS_REPEATED,
    EVENTS_RETRIED,
    EVENTS_REVIVED,
    EVENTS_SKIPPED,
    QUERIES_ANSWERED,
    QUERIES_FAILED,
    Count,
    Counter,
    Counters,
)
from eventbus.observability.figures import OutboxFigures, ParkingFigures, outbox_figures, parking_figures
from eventbus.observability.metrics import consumed, handled, processed, sent
from eventbus.observability.spans import (
    command_span,
    continued,
    current_traceparent,
    is_traced,
    is_traced_lately,
    process_span,
    publish_span,
)

__all__ = [
    "COMMANDS_FAILED",
    "COMMANDS_HANDLED",
    "COMMANDS_REPEATED",
    "COMMANDS_RETRIED",
    "EVENTS_DEAD_LETTERED",
    "EVENTS_DELAYED",
    "EVENTS_DRAINED",
    "EVENTS_HANDLED",
    "EVENTS_PARKED",
    "EVENTS_PROJECTED",
    "EVENTS_PUBLISHED",
    "EVENTS_REFUSED",
    "EVENTS_REPEATED",
    "EVENTS_RETRIED",
    "EVENTS_REVIVED",
    "EVENTS_SKIPPED",
    "QUERIES_ANSWERED",
    "QUERIES_FAILED",
    "Count",
    "Counter",
    "Counters",
    "OutboxFigures",
    "ParkingFigures",
    "command_span",
    "consumed",
    "continued",
    "current_traceparent",
    "handled",
    "is_traced",
    "is_traced_lately",
    "outbox_figures",
    "parking_figures",
    "process_span",
    "processed",
    "publish_span",
    "sent",
]
