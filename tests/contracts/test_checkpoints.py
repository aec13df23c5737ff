import pytest

from tests.contracts.checkpoints import CheckpointsContract, HandlerStartsContract


@pytest.mark.anyio
class TestCheckpoints(CheckpointsContract):
    """On SQLite and on PostgreSQL."""


@pytest.mark.anyio
class TestHandlerStarts(HandlerStartsContract):
    """On SQLite and on PostgreSQL."""
