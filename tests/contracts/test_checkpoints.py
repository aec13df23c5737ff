from eventbus.testing.contracts.checkpoints import CheckpointsContract, HandlerStartsContract


class TestCheckpoints(CheckpointsContract):
    """On SQLite and on PostgreSQL."""


class TestHandlerStarts(HandlerStartsContract):
    """On SQLite and on PostgreSQL."""
