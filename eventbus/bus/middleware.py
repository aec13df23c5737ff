"""
Middleware that comes with the framework: `Application(middleware=[timed, logged(slow_seconds=0.5)])`.

Neither is there unless it is asked for: what is counted and traced in any case costs less than a call of either.
"""

import logging
from time import perf_counter
from typing import Final

from eventbus.handlers import HandlerDefinition, Middleware, Next
from eventbus.messages import Message, Metadata
from eventbus.observability import handled

_log: Final = logging.getLogger("eventbus.handlers")


async def timed(message: Message, call_next: Next, handler: HandlerDefinition) -> object:
    """Records the time that each handler takes as the OpenTelemetry histogram `eventbus.handler.duration`."""
    begun = perf_counter()
    try:
        answer = await call_next()
    except Exception as error:
        handled(handler.name, message.message_name, perf_counter() - begun, type(error).__qualname__)
        raise
    handled(handler.name, message.message_name, perf_counter() - begun)
    return answer


def logged(*, slow_seconds: float | None = None, level: int = logging.INFO) -> Middleware:
    """
    A line for each message that is handled, at *level*; a WARNING for one that takes *slow_seconds* or more, or fails.

    The line has the handler, the message's name, id and correlation id, and the milliseconds; never its fields.
    """

    async def log_handling(message: Message, call_next: Next, handler: HandlerDefinition, metadata: Metadata) -> object:
        begun = perf_counter()
        try:
            answer = await call_next()
        except Exception as error:
            _say(logging.WARNING, f"failed with {type(error).__name__}", handler, metadata, perf_counter() - begun)
            raise
        seconds = perf_counter() - begun
        is_slow = slow_seconds is not None and seconds >= slow_seconds
        _say(logging.WARNING if is_slow else level, "was slow" if is_slow else "done", handler, metadata, seconds)
        return answer

    return log_handling


def _say(level: int, outcome: str, handler: HandlerDefinition, metadata: Metadata, seconds: float) -> None:
    _log.log(
        level,
        "%s: %s %s (correlation %s) %s after %.1f ms",
        handler.name,
        metadata.type,
        metadata.id,
        metadata.correlation_id,
        outcome,
        seconds * 1000,
    )
