import pytest

from tests.contracts.leases import SlotLeasesContract


@pytest.mark.anyio
class TestSlotLeases(SlotLeasesContract):
    """On SQLite and on PostgreSQL."""
