from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from eventbus.database import Database, Migrations
from eventbus.testing.contracts.event_store import EventStoreContract
from eventbus.testing.contracts.outbox import OutboxContract
from eventbus.testing.contracts.projections import ProjectionsContract
from eventbus.testing.contracts.service import MakeDatabase, MakeTransport, ServiceContract
from eventbus.testing.contracts.transport import TransportContract
from eventbus.transport import Transport
from tests.docs.examples.our_backend import our_database, our_transport


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = our_transport()
    await transport.start()
    yield transport
    await transport.aclose()


@pytest.fixture
def make_database() -> MakeDatabase:
    name = f"test-{uuid4()}"
    return lambda: our_database(name)


@pytest.fixture
async def database(make_database: MakeDatabase) -> AsyncIterator[Database]:
    database = make_database()
    await Migrations(database).prepare()
    yield database
    await database.aclose()


class TestOurTransport(TransportContract): ...


class TestOurEventStore(EventStoreContract): ...


class TestOurOutbox(OutboxContract): ...


class TestOurProjections(ProjectionsContract): ...


class TestAServiceOverBoth(ServiceContract):
    @pytest.fixture
    def make_transport(self) -> MakeTransport:
        return our_transport
