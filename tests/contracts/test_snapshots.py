from eventbus.testing.contracts.snapshots import SnapshotContract


class TestSnapshots(SnapshotContract):
    """On SQLite and on PostgreSQL."""
