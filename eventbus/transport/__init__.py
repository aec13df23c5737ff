"""
The log as the rest of eventbus sees it: a port, and its implementation over the Kafka protocol.
"""

from typing import TYPE_CHECKING

from eventbus.transport.port import (
    ConsumerStopped,
    IncomingRecord,
    LogDescription,
    OffsetRange,
    OutgoingRecord,
    PartitionBatch,
    ProducerFenced,
    Published,
    PublishOutcome,
    RecordConsumer,
    RecordProducer,
    RecordReader,
    Round,
    TopicDescription,
    TopicPartition,
    TransactionalProducer,
    TransactionsRefused,
    Transport,
)

if TYPE_CHECKING:
    from eventbus.transport.kafka import KafkaTransport

__all__ = [
    "ConsumerStopped",
    "IncomingRecord",
    "KafkaTransport",
    "LogDescription",
    "OffsetRange",
    "OutgoingRecord",
    "PartitionBatch",
    "ProducerFenced",
    "PublishOutcome",
    "Published",
    "RecordConsumer",
    "RecordProducer",
    "RecordReader",
    "Round",
    "TopicDescription",
    "TopicPartition",
    "TransactionalProducer",
    "TransactionsRefused",
    "Transport",
]


def __getattr__(name: str) -> object:
    # Loading librdkafka takes time that a unit test of an aggregate need not spend.
    if name == "KafkaTransport":
        from eventbus.transport.kafka import KafkaTransport

        return KafkaTransport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
