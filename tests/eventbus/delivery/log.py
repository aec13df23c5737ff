"""Fixtures: a transport to the log that the test runs on, and topics of a test's own."""

import uuid
from collections.abc import AsyncIterator, Sequence

import pytest

from eventbus.transport import KafkaTransport, OutgoingRecord, Published
from tests.eventbus.delivery.service import Paid, record
from tests.servers.logs import Log

__all__ = ["topic", "transport"]


@pytest.fixture
async def transport(log: Log) -> AsyncIterator[KafkaTransport]:
    transport = KafkaTransport(log.bootstrap)
    await transport.start()
    yield transport
    await transport.aclose()


@pytest.fixture
async def topic(transport: KafkaTransport) -> str:
    """A topic with three partitions."""
    name = f"payments-{uuid.uuid4().hex[:8]}"
    await transport.ensure_topics({name: 3})
    return name


async def pay(transport: KafkaTransport, topic: str, numbers: Sequence[int]) -> None:
    """Writes a payment for each number, each for an order of its own."""
    producer = transport.producer()
    outcomes = await producer.publish(
        [
            OutgoingRecord(topic, b"o-%d" % number, made.value, [(name, value or b"") for name, value in made.headers])
            for number in numbers
            for made in [record(Paid(number=number), 0, message_id=f"e-{number}")]
        ]
    )
    assert all(isinstance(outcome, Published) for outcome in outcomes)
    await producer.aclose()
