"""
What handles a message: marking, finding, providing for and calling handlers.
"""

from eventbus.handlers.decorators import HandlerOptions, handles
from eventbus.handlers.faults import Faults
from eventbus.handlers.invocation import Invocation, current_scope
from eventbus.handlers.middleware import Middleware, MiddlewareDefinition, Next
from eventbus.handlers.provided import Provided, per_message
from eventbus.handlers.provision import Provider, Provision, Scope, Source, from_unit_of_work, unit_of_work_of
from eventbus.handlers.registry import HandlerDefinition, Handlers, find_handlers, only_modules
from eventbus.handlers.retry_later import RetryLater, retry_later

__all__ = [
    "Faults",
    "HandlerDefinition",
    "HandlerOptions",
    "Handlers",
    "Invocation",
    "Middleware",
    "MiddlewareDefinition",
    "Next",
    "Provided",
    "Provider",
    "Provision",
    "RetryLater",
    "Scope",
    "Source",
    "current_scope",
    "find_handlers",
    "from_unit_of_work",
    "handles",
    "only_modules",
    "per_message",
    "retry_later",
    "unit_of_work_of",
]
