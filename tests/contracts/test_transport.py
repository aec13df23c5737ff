from collections.abc import AsyncIterator

import pytest

from eventbus.testing.contracts.transactional_producer import TransactionalProducerContract
from eventbus.testing.contracts.transport import TransportContract
from eventbus.testing.contracts.transport_absence import TransactionalProducerAbsenceContract, TransportAbsenceContract
from eventbus.transport import KafkaTransport
from tests.servers.logs import Log


class _OverLibrdkafka:
    """On `broker serve` and on Apache Kafka; the client lets records pass that the broker refuses."""

    @pytest.fixture
    async def transport(self, log: Log) -> AsyncIterator[KafkaTransport]:
        options = {"message.max.bytes": "5000000"}
        transport = KafkaTransport(log.bootstrap, options, topic_options=log.topic_options)
        await transport.start()
        yield transport
        await transport.aclose()


class TestKafkaTransport(_OverLibrdkafka, TransportContract):
    """The transport."""


class TestKafkaTransactions(_OverLibrdkafka, TransactionalProducerContract):
    """Writing in transactions."""


@pytest.mark.kills_the_log
class TestAbsence(_OverLibrdkafka, TransportAbsenceContract):
    """A log that goes away and comes back."""


@pytest.mark.kills_the_log
class TestAbsenceDuringTransactions(_OverLibrdkafka, TransactionalProducerAbsenceContract):
    """The same, for writing in transactions."""
