from eventbus.testing.contracts.leases import SlotLeasesContract


class TestSlotLeases(SlotLeasesContract):
    """On SQLite and on PostgreSQL."""
