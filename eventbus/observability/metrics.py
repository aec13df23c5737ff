"""
What a service measures, through OpenTelemetry's API alone: without an SDK it costs next to nothing.
"""

from opentelemetry import metrics

from eventbus.observability.names import (
    DESTINATION,
    ERROR,
    GROUP,
    HANDLER,
    KAFKA,
    MESSAGE_TYPE,
    OPERATION,
    OPERATION_TYPE,
    SYSTEM,
)

_meter = metrics.get_meter("eventbus")

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


def sent(topic: str, messages: int, seconds: float, error: str | None = None) -> None:
    """A batch went to *topic* (or failed with the class *error*), in *seconds*."""
    attributes = {SYSTEM: KAFKA, DESTINATION: topic, OPERATION: "publish", OPERATION_TYPE: "send"}
    if error is not None:
        attributes[ERROR] = error
    _sent.add(messages, attributes)
    _operation_duration.record(seconds, attributes)


def consumed(topic: str, group: str, messages: int) -> None:
    """A batch came from *topic*."""
    _consumed.add(
        messages,
        {SYSTEM: KAFKA, DESTINATION: topic, GROUP: group, OPERATION: "poll", OPERATION_TYPE: "receive"},
    )


def processed(topic: str, group: str, messages: int, seconds: float, error: str | None = None) -> None:
    """A batch of *topic* was handled in *seconds*, each message in the mean of that."""
    attributes = {
        SYSTEM: KAFKA,
        DESTINATION: topic,
        GROUP: group,
        OPERATION: "process",
        OPERATION_TYPE: "process",
    }
    if error is not None:
        attributes[ERROR] = error
    if messages:
        _process_duration.record(seconds / messages, attributes)


def handled(handler: str, message_type: str, seconds: float, error: str | None = None) -> None:
    """A handler has returned, or failed with the class *error*, after *seconds*."""
    attributes = {HANDLER: handler, MESSAGE_TYPE: message_type}
    if error is not None:
        attributes[ERROR] = error
    _handler_duration.record(seconds, attributes)
