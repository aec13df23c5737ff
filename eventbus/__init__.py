"""
Event-driven microservices: CQRS and event sourcing over a Kafka-protocol log.

The names that a service is written with. Each is loaded when it is first asked for, so that a command line that needs
few of them starts quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventbus.application import Application, ApplicationStatus
    from eventbus.bus import CommandBus, EventBus, QueryBus
    from eventbus.clock import Clock
    from eventbus.domain import Aggregate, Decider, Repository, applies
    from eventbus.errors import ConcurrencyConflict, DefinitionError, DomainError, EventBusError, InvalidConfiguration
    from eventbus.handlers import HandlerDefinition, Next, handles, per_message, retry_later
    from eventbus.messages import Command, Event, Message, Metadata, Query, Receipt
    from eventbus.projections import Projection, Row, RowProjection, View, projects
    from eventbus.serialization import upcasts
    from eventbus.store import UnitOfWork

__all__ = [
    "Aggregate",
    "Application",
    "ApplicationStatus",
    "Clock",
    "Command",
    "CommandBus",
    "ConcurrencyConflict",
    "Decider",
    "DefinitionError",
    "DomainError",
    "Event",
    "EventBus",
    "EventBusError",
    "HandlerDefinition",
    "InvalidConfiguration",
    "Message",
    "Metadata",
    "Next",
    "Projection",
    "Query",
    "QueryBus",
    "Receipt",
    "Repository",
    "Row",
    "RowProjection",
    "UnitOfWork",
    "View",
    "applies",
    "handles",
    "per_message",
    "projects",
    "retry_later",
    "upcasts",
]

_HOMES: Final = {
    "eventbus.application": ("Application", "ApplicationStatus"),
    "eventbus.bus": ("CommandBus", "EventBus", "QueryBus"),
    "eventbus.clock": ("Clock",),
    "eventbus.domain": ("Aggregate", "Decider", "Repository", "applies"),
    "eventbus.errors": (
        "ConcurrencyConflict",
        "DefinitionError",
        "DomainError",
        "EventBusError",
        "InvalidConfiguration",
    ),
    "eventbus.handlers": ("HandlerDefinition", "Next", "handles", "per_message", "retry_later"),
    "eventbus.messages": ("Command", "Event", "Message", "Metadata", "Query", "Receipt"),
    "eventbus.projections": ("Projection", "Row", "RowProjection", "View", "projects"),
    "eventbus.serialization": ("upcasts",),
    "eventbus.store": ("UnitOfWork",),
}
_HOME_OF: Final = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value
