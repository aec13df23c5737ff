import pytest

from tests.contracts.event_store import EventStoreContract
from tests.contracts.event_store_reading import EventStoreReadingContract


@pytest.mark.anyio
class TestEventStore(EventStoreContract):
    """On SQLite and on PostgreSQL."""


@pytest.mark.anyio
class TestEventStoreReading(EventStoreReadingContract):
    """On SQLite and on PostgreSQL."""
