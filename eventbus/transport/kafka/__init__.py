"""The transport over librdkafka: any log that speaks the Kafka protocol."""

from eventbus.transport.kafka.transport import KafkaTransport

__all__ = ["KafkaTransport"]
