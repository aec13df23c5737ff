from eventbus.testing.contracts.group_commit import GroupCommitContract


class TestGroupCommit(GroupCommitContract):
    """On SQLite and on PostgreSQL."""
