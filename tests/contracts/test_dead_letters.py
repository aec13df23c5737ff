from eventbus.testing.contracts.dead_letters import DeadLettersContract


class TestDeadLetters(DeadLettersContract):
    """On SQLite and on PostgreSQL."""
