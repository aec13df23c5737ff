"""
The names of attributes of metrics and spans.

The messaging conventions are in development: 1.45 renames `messaging.system` to `messaging.system.name` and
`messaging.kafka.*` to `kafka.*`. A rename is a change here, and of instruments in `metrics` and `figures`.

Source      OpenTelemetry semantic conventions 1.45, messaging
"""

from typing import Final

SYSTEM: Final = "messaging.system.name"
OPERATION: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
GROUP: Final = "messaging.consumer.group.name"
MESSAGE_ID: Final = "messaging.message.id"
MESSAGE_TYPE: Final = "cloudevents.event_type"
BATCH_COUNT: Final = "messaging.batch.message_count"
PARTITION: Final = "messaging.destination.partition.id"
OFFSET: Final = "kafka.offset"
ERROR: Final = "error.type"
HANDLER: Final = "eventbus.handler.name"
SERVICE: Final = "eventbus.service.name"
KAFKA: Final = "kafka"
