from eventbus.testing.contracts.parking import ParkingContract


class TestParking(ParkingContract):
    """On SQLite and on PostgreSQL."""
