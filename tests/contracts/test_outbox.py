import pytest

from tests.contracts.outbox import OutboxContract


@pytest.mark.anyio
class TestOutbox(OutboxContract):
    """On SQLite and on PostgreSQL."""
