import pytest

from tests.contracts.dead_letters import DeadLettersContract


@pytest.mark.anyio
class TestDeadLetters(DeadLettersContract):
    """On SQLite and on PostgreSQL."""
