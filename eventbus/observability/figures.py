"""
How much there is of something at the moment, service by service, for OpenTelemetry's gauges.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from opentelemetry import metrics

from eventbus.observability.names import SERVICE

_meter = metrics.get_meter("eventbus")

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
            return [metrics.Observation(value(of), {SERVICE: service}) for service, of in list(self.figures.items())]

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
