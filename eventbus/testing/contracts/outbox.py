"""
What an outbox promises, on any database.
"""

from datetime import UTC, datetime, timedelta

import pytest

from eventbus.database import Database, Outbox, OutboxRow, PublishedRow, SlotLease, SlotLeases
from eventbus.errors import LeaseLost
from eventbus.messages import Position


def row(number: int, *, slot: int = 0, key: str | None = "o-1", version: int | None = None) -> OutboxRow:
    """A row to be added."""
    return OutboxRow(
        id=f"event-{number}",
        aggregatetype="Order",
        aggregateid=key or "",
        type="Placed",
        payload=b"\x00\xff%d" % number,
        topic="orders",
        key=key,
        headers=(("ce_id", f"event-{number}"), ("ce_source", "café"), ("ce_id", "twice")),
        slot=slot,
        stream_version=version,
        created_at=datetime(2026, 1, 31, 12, 0, 0, number, UTC),
    )


def published(rows: list[OutboxRow], first_offset: int = 0) -> list[PublishedRow]:
    """The rows as a relay reports them, at consecutive offsets."""
    return [
        PublishedRow(row.sequence, row.id, row.topic, 3, offset) for offset, row in enumerate(rows, start=first_offset)
    ]


async def hold(database: Database, slot: int = 0) -> SlotLease:
    """A lease on the slot."""
    async with database.transaction() as connection:
        lease = await SlotLeases().acquire(connection, slot, "relay", 30)
    assert lease is not None
    return lease


class OutboxContract:
    """Tests for an implementation: give `database` and, where it is not the framework's own, `outbox`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def outbox(self) -> Outbox:
        return Outbox()

    async def test_rows_are_claimed_in_the_order_in_which_they_were_added(
        self, database: Database, outbox: Outbox
    ) -> None:
        """Over several transactions, and with every field unchanged."""
        rows = [row(0, key=None), row(1, version=7), row(2), row(3)]
        for part in (rows[:2], [], rows[2:]):
            async with database.transaction() as connection:
                await outbox.add(connection, part)
        claimed = await outbox.claim(database, 0, 100)
        assert [found.sequence for found in claimed] == sorted(found.sequence for found in claimed)
        for found, given in zip(claimed, rows, strict=True):
            for name in OutboxRow.__dataclass_fields__.keys() - {"sequence"}:
                assert getattr(found, name) == getattr(given, name)

    async def test_a_claim_gives_the_first_rows_of_one_slot(self, database: Database, outbox: Outbox) -> None:
        """As many as were asked for, and none of another slot."""
        async with database.transaction() as connection:
            await outbox.add(connection, [row(number, slot=number % 2) for number in range(10)])
        assert [found.id for found in await outbox.claim(database, 1, 3)] == ["event-1", "event-3", "event-5"]
        assert await outbox.claim(database, 2, 3) == []

    async def test_a_row_that_was_rolled_back_is_never_claimed(self, database: Database, outbox: Outbox) -> None:
        """The outbox is part of the effects' transaction."""
        with pytest.raises(RuntimeError, match="no"):
            async with database.transaction() as connection:
                await outbox.add(connection, [row(1)])
                raise RuntimeError("no")
        assert await outbox.claim(database, 0, 10) == []

    async def test_what_is_deleted_leaves_its_position(self, database: Database, outbox: Outbox) -> None:
        """Published rows are gone, the others stay, and a receipt's ids find their offsets."""
        lease = await hold(database)
        async with database.transaction() as connection:
            await outbox.add(connection, [row(number) for number in range(5)])
        claimed = await outbox.claim(database, 0, 3)
        async with database.transaction() as connection:
            await outbox.delete(connection, 0, lease.lease_epoch, published(claimed, 40))
        assert [found.id for found in await outbox.claim(database, 0, 10)] == ["event-3", "event-4"]
        async with database.reading() as connection:
            positions = await outbox.positions(connection, ["event-0", "event-2", "event-3"])
        assert positions == {"event-0": Position("orders", 3, 40), "event-2": Position("orders", 3, 42)}

    async def test_a_lost_lease_deletes_nothing(self, database: Database, outbox: Outbox) -> None:
        """A relay that slept past its lease finds another epoch: its rows stay for the new holder."""
        lease = await hold(database)
        async with database.transaction() as connection:
            await outbox.add(connection, [row(1)])
        claimed = await outbox.claim(database, 0, 10)
        await hold(database)
        with pytest.raises(LeaseLost, match=r"slot 0.*epoch 1.*is 2"):
            async with database.transaction() as connection:
                await outbox.delete(connection, 0, lease.lease_epoch, published(claimed))
        assert await outbox.claim(database, 0, 10) == claimed
        async with database.reading() as connection:
            assert await outbox.positions(connection, ["event-1"]) == {}

    async def test_a_lost_lease_deletes_nothing_whatever_else_is_committed(
        self, database: Database, outbox: Outbox
    ) -> None:
        """Who catches it inside of the transaction commits no half of it."""
        lease = await hold(database)
        async with database.transaction() as connection:
            await outbox.add(connection, [row(1)])
        claimed = await outbox.claim(database, 0, 10)
        await hold(database)
        async with database.transaction() as connection:
            with pytest.raises(LeaseLost):
                await outbox.delete(connection, 0, lease.lease_epoch, published(claimed))
            await outbox.add(connection, [row(2)])
        assert [found.id for found in await outbox.claim(database, 0, 10)] == ["event-1", "event-2"]
        async with database.reading() as connection:
            assert await outbox.positions(connection, ["event-1"]) == {}

    async def test_without_any_lease_nothing_is_deleted(self, database: Database, outbox: Outbox) -> None:
        """A slot that nobody ever held has no epoch that fits."""
        with pytest.raises(LeaseLost):
            async with database.transaction() as connection:
                await outbox.delete(connection, 0, 1, [PublishedRow(1, "event-1", "orders", 0, 0)])

    async def test_a_row_of_another_slot_is_not_deleted(self, database: Database, outbox: Outbox) -> None:
        """The fence of one slot does not open another."""
        lease = await hold(database)
        async with database.transaction() as connection:
            await outbox.add(connection, [row(1, slot=1)])
        claimed = await outbox.claim(database, 1, 10)
        async with database.transaction() as connection:
            await outbox.delete(connection, 0, lease.lease_epoch, published(claimed))
        assert await outbox.claim(database, 1, 10) == claimed

    async def test_the_first_reported_position_stays(self, database: Database, outbox: Outbox) -> None:
        """A row that was published twice is where it was first reported, so that a receipt's answer does not change."""
        lease = await hold(database)
        async with database.transaction() as connection:
            for offset in (5, 9):
                await outbox.delete(connection, 0, lease.lease_epoch, [PublishedRow(1, "event-1", "orders", 0, offset)])
            assert await outbox.positions(connection, ["event-1"]) == {"event-1": Position("orders", 0, 5)}

    async def test_positions_are_kept_until_they_are_pruned(self, database: Database, outbox: Outbox) -> None:
        """Pruning forgets what is older than a time, and says how much."""
        lease = await hold(database)
        async with database.transaction() as connection:
            await outbox.delete(
                connection,
                0,
                lease.lease_epoch,
                [PublishedRow(number, f"event-{number}", "orders", 0, number) for number in range(3)],
            )
            now = datetime.now(UTC)
            assert await outbox.prune(connection, now - timedelta(hours=1)) == 0
            assert await outbox.prune(connection, now + timedelta(hours=1)) == 3
            assert await outbox.positions(connection, ["event-1"]) == {}

    async def test_the_status_tells_rows_age_and_holders(self, database: Database, outbox: Outbox) -> None:
        """Slots with a backlog and slots with a holder, each with what there is of the other."""
        await hold(database, slot=1)
        async with database.transaction() as connection:
            assert (await outbox.status(connection)).oldest_age_seconds == 0
            await outbox.add(connection, [row(1), row(2, slot=2)])
            status = await outbox.status(connection)
        assert status.rows == 2
        age = datetime.now(UTC) - datetime(2026, 1, 31, 12, 0, 0, 1, UTC)
        assert status.oldest_age_seconds == pytest.approx(age.total_seconds(), abs=60)
        assert [(slot.slot, slot.rows, slot.holder) for slot in status.slots] == [
            (0, 1, None),
            (1, 0, "relay"),
            (2, 1, None),
        ]

    async def test_a_thousand_rows_are_added_claimed_and_deleted_at_once(
        self, database: Database, outbox: Outbox
    ) -> None:
        """No limit on parameters is met."""
        lease = await hold(database)
        async with database.transaction() as connection:
            await outbox.add(connection, [row(number) for number in range(1000)])
        claimed = await outbox.claim(database, 0, 1000)
        async with database.transaction() as connection:
            await outbox.delete(connection, 0, lease.lease_epoch, published(claimed))
        assert await outbox.claim(database, 0, 1) == []
        async with database.reading() as connection:
            assert len(await outbox.positions(connection, [found.id for found in claimed])) == 1000
