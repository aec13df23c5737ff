import pytest

from tests.contracts.group_commit import GroupCommitContract


@pytest.mark.anyio
class TestGroupCommit(GroupCommitContract):
    """On SQLite and on PostgreSQL."""
