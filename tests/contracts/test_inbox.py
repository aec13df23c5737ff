from eventbus.testing.contracts.inbox import CommandInboxContract, InboxContract


class TestInbox(InboxContract):
    """On SQLite and on PostgreSQL."""


class TestCommandInbox(CommandInboxContract):
    """On SQLite and on PostgreSQL."""
