"""
What leases on the outbox's slots promise, on any database.
"""

import anyio
import pytest

from eventbus.database import Database, SlotLease, SlotLeases

LONG = 60.0
EXPIRED = 0.0


class SlotLeasesContract:
    """Tests for an implementation: give `database` and, where it is not the framework's own, `leases`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def leases(self) -> SlotLeases:
        return SlotLeases()

    async def test_a_free_slot_is_given_and_a_held_one_is_not(self, database: Database, leases: SlotLeases) -> None:
        """One holder at a time; slots are independent."""
        async with database.transaction() as connection:
            lease = await leases.acquire(connection, 0, "one", LONG)
            assert lease is not None
            assert (lease.slot, lease.holder, lease.lease_epoch) == (0, "one", 1)
            assert await leases.acquire(connection, 0, "two", LONG) is None
            assert await leases.acquire(connection, 1, "two", LONG) is not None

    async def test_an_expired_lease_is_taken_over_with_a_new_epoch(
        self, database: Database, leases: SlotLeases
    ) -> None:
        """The former holder cannot renew it any more."""
        async with database.transaction() as connection:
            first = await leases.acquire(connection, 0, "one", EXPIRED)
        assert first is not None
        async with database.transaction() as connection:
            second = await leases.acquire(connection, 0, "two", LONG)
            assert second is not None
            assert second.lease_epoch == first.lease_epoch + 1
            assert await leases.renew(connection, first, LONG) is None

    async def test_renewing_keeps_the_epoch(self, database: Database, leases: SlotLeases) -> None:
        """A batch in flight is not disturbed, even when the lease had expired unnoticed."""
        async with database.transaction() as connection:
            lease = await leases.acquire(connection, 0, "one", EXPIRED)
        assert lease is not None
        async with database.transaction() as connection:
            renewed = await leases.renew(connection, lease, LONG)
            assert renewed is not None
            assert renewed.lease_epoch == lease.lease_epoch
            assert renewed.expires_at > lease.expires_at
            assert await leases.acquire(connection, 0, "two", LONG) is None

    async def test_a_holder_that_starts_again_fences_its_former_self(
        self, database: Database, leases: SlotLeases
    ) -> None:
        """The same name is given the slot at once, with a new epoch."""
        async with database.transaction() as connection:
            first = await leases.acquire(connection, 0, "one", LONG)
            second = await leases.acquire(connection, 0, "one", LONG)
            assert first is not None
            assert second is not None
            assert second.lease_epoch == first.lease_epoch + 1
            assert await leases.renew(connection, first, LONG) is None

    async def test_a_released_slot_is_free_at_once(self, database: Database, leases: SlotLeases) -> None:
        """Releasing what another has taken over changes nothing."""
        async with database.transaction() as connection:
            first = await leases.acquire(connection, 0, "one", LONG)
            assert first is not None
            await leases.release(connection, first)
        async with database.transaction() as connection:
            second = await leases.acquire(connection, 0, "two", LONG)
            assert second is not None
            await leases.release(connection, first)
        async with database.transaction() as connection:
            assert await leases.acquire(connection, 0, "three", LONG) is None
            assert await leases.list(connection) == [second]

    async def test_of_many_that_ask_at_once_one_gets_the_slot(self, database: Database, leases: SlotLeases) -> None:
        """The database decides, not the order of arrival."""
        given: list[SlotLease] = []

        async def ask(holder: str) -> None:
            async with database.transaction() as connection:
                lease = await leases.acquire(connection, 0, holder, LONG)
                if lease is not None:
                    given.append(lease)

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(ask, f"relay-{number}")
        assert len(given) == 1
