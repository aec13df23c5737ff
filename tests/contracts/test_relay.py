from collections.abc import AsyncIterator

import pytest

from eventbus.testing.contracts.relay import RelayContract
from eventbus.transport import KafkaTransport
from tests.servers.logs import Log


class TestRelayToALogInMemory(RelayContract):
    """From SQLite and from PostgreSQL."""


class TestRelayToALog(RelayContract):
    """From SQLite to the embedded broker, from PostgreSQL to Apache Kafka."""

    @pytest.fixture
    def database_url(self, database_url_of_the_log: str) -> str:
        return database_url_of_the_log

    @pytest.fixture
    async def transport(self, log: Log) -> AsyncIterator[KafkaTransport]:
        transport = KafkaTransport(log.bootstrap)
        await transport.start()
        yield transport
        await transport.aclose()
