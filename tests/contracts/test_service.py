import pytest

from eventbus.database import Database
from eventbus.testing.contracts.service import MakeDatabase, MakeTransport, ServiceContract
from eventbus.transport import KafkaTransport
from tests.servers.logs import Log


class TestServiceOverALogInMemory(ServiceContract):
    """On SQLite and on PostgreSQL."""


class TestServiceOverALog(ServiceContract):
    """On the embedded broker with SQLite, on Apache Kafka with PostgreSQL."""

    @pytest.fixture
    def make_transport(self, log: Log) -> MakeTransport:
        return lambda: KafkaTransport(log.bootstrap, topic_options=log.topic_options)

    @pytest.fixture
    def make_database(self, database_url_of_the_log: str) -> MakeDatabase:
        return lambda: Database.from_url(database_url_of_the_log)
