from collections.abc import Iterator
from pathlib import Path

import pytest

from eventbus.database import Database
from eventbus.testing.contracts.service import MakeDatabase, MakeTransport, ServiceContract
from eventbus.transport import KafkaTransport
from tests.servers.broker_process import BrokerProcess, running_broker


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with running_broker(tmp_path_factory.mktemp("service") / "broker") as broker:
        yield broker


class TestServiceOverALogInMemory(ServiceContract):
    """On SQLite and on PostgreSQL."""

    @pytest.fixture
    def make_database(self, database_url: str) -> MakeDatabase:
        return lambda: Database.from_url(database_url)


class TestServiceOverTheEmbeddedBroker(ServiceContract):
    """The database is SQLite."""

    @pytest.fixture
    def make_transport(self, log: BrokerProcess) -> MakeTransport:
        return lambda: KafkaTransport(log.bootstrap, topic_options={"flush.before.ack": "true"})

    @pytest.fixture
    def make_database(self, tmp_path: Path) -> MakeDatabase:
        return lambda: Database.from_url(f"sqlite:///{tmp_path}/bank.sqlite3")
