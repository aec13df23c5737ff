"""
What snapshots promise, on any database.
"""

from datetime import UTC, datetime

import pytest

from eventbus.database import Database
from eventbus.store import Snapshot, Snapshots, Transactions
from eventbus.testing.contracts.unit_of_work import metadata, record


def taken(stream_version: int, *, snapshot_version: int = 1, stream: str = "Order-1") -> Snapshot:
    """A snapshot that tells its version."""
    now = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
    return Snapshot(stream, stream_version, snapshot_version, b'{"at":%d}' % stream_version, now)


class SnapshotContract:
    """Tests for an implementation: give `database` and, where it is not the framework's own, `snapshots`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def snapshots(self) -> Snapshots:
        return Snapshots()

    async def test_a_snapshot_is_found_as_it_was_put(self, database: Database, snapshots: Snapshots) -> None:
        """By its stream and the version of its shape."""
        async with database.transaction() as connection:
            await snapshots.put(connection, [taken(3), taken(5, stream="Order-2")])
            await snapshots.put(connection, [])
        async with database.reading() as connection:
            assert await snapshots.find(connection, "Order-1", 1) == taken(3)
            assert await snapshots.find(connection, "Order-2", 1) == taken(5, stream="Order-2")
            assert await snapshots.find(connection, "Order-3", 1) is None

    async def test_one_of_another_shape_is_as_good_as_none(self, database: Database, snapshots: Snapshots) -> None:
        """Older or newer than the code's."""
        async with database.transaction() as connection:
            await snapshots.put(connection, [taken(3, snapshot_version=2)])
            assert await snapshots.find(connection, "Order-1", 1) is None
            assert await snapshots.find(connection, "Order-1", 3) is None

    async def test_the_newest_stays(self, database: Database, snapshots: Snapshots) -> None:
        """A later one replaces an earlier one, a newer shape an older one; never the other way round."""
        async with database.transaction() as connection:
            for one in (taken(3), taken(7), taken(5)):
                await snapshots.put(connection, [one])
            assert await snapshots.find(connection, "Order-1", 1) == taken(7)
            for one in (taken(2, snapshot_version=2), taken(9)):
                await snapshots.put(connection, [one])
            assert await snapshots.find(connection, "Order-1", 2) == taken(2, snapshot_version=2)
            assert await snapshots.find(connection, "Order-1", 1) is None

    @pytest.mark.parametrize("lazily", [True, False])
    async def test_a_unit_puts_its_snapshot_with_its_events(
        self, database: Database, snapshots: Snapshots, lazily: bool
    ) -> None:
        """Together, or neither; what is loaded then begins with it."""
        transactions = Transactions(database, "shop")
        async with transactions.begin(lazily=lazily) as transaction:
            unit = transaction.unit_of_work(metadata())
            record(unit, "Order-1", 0, 1, 2)
            unit.put_snapshot("Order-1", 2, 1, b"{}")
            await unit.complete()
            found = await transaction.find_snapshot("Order-1", 1)
            assert found is not None
            assert found.stream_version == 2
        with pytest.raises(RuntimeError, match="no"):
            async with transactions.begin(lazily=lazily) as transaction:
                unit = transaction.unit_of_work(metadata())
                record(unit, "Order-1", 2, 3)
                unit.put_snapshot("Order-1", 3, 1, b"{}")
                await unit.complete()
                raise RuntimeError("no")
        async with transactions.begin(lazily=lazily) as transaction:
            unit = transaction.unit_of_work(metadata())
            record(unit, "Order-1", 2, 3)
            await unit.complete()
        async with transactions.begin(lazily=lazily) as transaction:
            events = [event.history_row for event in await transaction.load("Order-1")]
            snapshot, behind = await transaction.unit_of_work(metadata()).load_snapshot("Order-1", 1)
            assert snapshot is not None
            assert snapshot.stream_version == 2
            assert len(events) == 3
            assert list(map(tuple, behind)) == events[2:]
            none, all_of_them = await transaction.unit_of_work(metadata()).load_snapshot("Order-1", 2)
            assert none is None
            assert list(map(tuple, all_of_them)) == events
