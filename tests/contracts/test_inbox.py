import pytest

from tests.contracts.inbox import CommandInboxContract, InboxContract


@pytest.mark.anyio
class TestInbox(InboxContract):
    """On SQLite and on PostgreSQL."""


@pytest.mark.anyio
class TestCommandInbox(CommandInboxContract):
    """On SQLite and on PostgreSQL."""
