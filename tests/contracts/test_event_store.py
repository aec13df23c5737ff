import pytest

from tests.contracts.event_store import EventStoreContract


@pytest.mark.anyio
class TestEventStore(EventStoreContract):
    """On SQLite and on PostgreSQL."""
