"""Every suite on databases in memory."""

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from eventbus.database import Database, Migrations
from eventbus.database.memory import MemoryFile
from eventbus.testing.contracts.checkpoints import CheckpointsContract, HandlerStartsContract
from eventbus.testing.contracts.database import DatabaseContract, MakeDatabase
from eventbus.testing.contracts.dead_letters import DeadLettersContract
from eventbus.testing.contracts.event_store import EventStoreContract
from eventbus.testing.contracts.event_store_reading import EventStoreReadingContract
from eventbus.testing.contracts.group_commit import GroupCommitContract
from eventbus.testing.contracts.inbox import CommandInboxContract, InboxContract
from eventbus.testing.contracts.leases import SlotLeasesContract
from eventbus.testing.contracts.outbox import OutboxContract
from eventbus.testing.contracts.projection_operations import ProjectionOperationsContract
from eventbus.testing.contracts.projection_rebuilds import RebuildsContract
from eventbus.testing.contracts.projection_views import ViewsContract
from eventbus.testing.contracts.projections import ProjectionsContract
from eventbus.testing.contracts.relay import RelayContract
from eventbus.testing.contracts.service import ServiceContract
from eventbus.testing.contracts.snapshots import SnapshotContract
from eventbus.testing.contracts.unit_of_work import UnitOfWorkContract


@pytest.fixture
def database_url() -> Iterator[str]:
    """A database of the test's own, which whoever says its name is given."""
    name = str(uuid.uuid4())
    yield f"memory:{name}"
    MemoryFile.forget(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database.from_url(database_url)
    await Migrations(database).prepare()
    yield database
    await database.aclose()


@pytest.fixture
def make_database(database_url: str) -> MakeDatabase:
    return lambda: Database.from_url(database_url)


class TestCheckpointsInMemory(CheckpointsContract): ...


class TestCommandInboxInMemory(CommandInboxContract): ...


class TestDatabaseInMemory(DatabaseContract): ...


class TestDeadLettersInMemory(DeadLettersContract): ...


class TestEventStoreInMemory(EventStoreContract): ...


class TestEventStoreReadingInMemory(EventStoreReadingContract): ...


class TestGroupCommitInMemory(GroupCommitContract): ...


class TestHandlerStartsInMemory(HandlerStartsContract): ...


class TestInboxInMemory(InboxContract): ...


class TestLeasesInMemory(SlotLeasesContract): ...


class TestOutboxInMemory(OutboxContract): ...


class TestProjectionOperationsInMemory(ProjectionOperationsContract): ...


class TestProjectionsInMemory(ProjectionsContract): ...


class TestRebuildsInMemory(RebuildsContract): ...


class TestRelayInMemory(RelayContract): ...


class TestSnapshotsInMemory(SnapshotContract): ...


class TestUnitOfWorkInMemory(UnitOfWorkContract): ...


class TestViewsInMemory(ViewsContract): ...


class TestServiceInMemory(ServiceContract): ...
