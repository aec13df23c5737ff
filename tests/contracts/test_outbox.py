from eventbus.testing.contracts.outbox import OutboxContract


class TestOutbox(OutboxContract):
    """On SQLite and on PostgreSQL."""
