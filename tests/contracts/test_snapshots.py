import pytest

from tests.contracts.snapshots import SnapshotContract


@pytest.mark.anyio
class TestSnapshots(SnapshotContract):
    """On SQLite and on PostgreSQL."""
