from eventbus.testing.contracts.event_store import EventStoreContract
from eventbus.testing.contracts.event_store_reading import EventStoreReadingContract


class TestEventStore(EventStoreContract):
    """On SQLite and on PostgreSQL."""


class TestEventStoreReading(EventStoreReadingContract):
    """On SQLite and on PostgreSQL."""
