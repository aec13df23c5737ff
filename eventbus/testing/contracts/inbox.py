"""
What the inboxes promise, on any database: of messages by consumer, and of commands by the caller's id.
"""

import anyio
import pytest

from eventbus.database import CommandInbox, Database, Inbox


class InboxContract:
    """Tests for an implementation: give `database` and, where it is not the framework's own, `inbox`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def inbox(self) -> Inbox:
        return Inbox()

    async def test_a_message_is_new_once(self, database: Database, inbox: Inbox) -> None:
        """A repeat is not admitted, in the same transaction, in a later one, or twice in one call."""
        async with database.transaction() as connection:
            assert await inbox.admit(connection, "service", ["a", "b", "a"]) == {"a", "b"}
            assert await inbox.admit(connection, "service", ["b", "c"]) == {"c"}
        async with database.transaction() as connection:
            assert await inbox.admit(connection, "service", ["a", "b", "c"]) == set()
            assert await inbox.admit(connection, "service", []) == set()

    async def test_consumers_do_not_share_messages(self, database: Database, inbox: Inbox) -> None:
        """Each handles every message once."""
        async with database.transaction() as connection:
            assert await inbox.admit(connection, "one", ["a"]) == {"a"}
            assert await inbox.admit(connection, "two", ["a"]) == {"a"}

    async def test_what_was_rolled_back_is_new_again(self, database: Database, inbox: Inbox) -> None:
        """An effect and the memory of it are there together or not at all."""
        with pytest.raises(RuntimeError, match="no"):
            async with database.transaction() as connection:
                await inbox.admit(connection, "service", ["a"])
                raise RuntimeError("no")
        async with database.transaction() as connection:
            assert await inbox.admit(connection, "service", ["a"]) == {"a"}

    async def test_of_concurrent_transactions_one_gets_a_message(self, database: Database, inbox: Inbox) -> None:
        """The others wait for it, in whatever order they name the ids, and get what it did not."""
        admitted: list[str] = []
        ids = [f"message-{number}" for number in range(20)]

        async def admit(number: int) -> None:
            async with database.transaction() as connection:
                given = ids[number:] if number % 2 else list(reversed(ids[number:]))
                admitted.extend(await inbox.admit(connection, "service", given))
                await anyio.sleep(0.005)

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(admit, number)
        assert sorted(admitted) == sorted(ids)

    async def test_thousands_are_admitted_with_one_statement(self, database: Database, inbox: Inbox) -> None:
        """No limit on parameters is met; ids may have any characters."""
        ids = [f'é"{{}}\\ {number}' for number in range(5000)]
        async with database.transaction() as connection:
            assert await inbox.admit(connection, "service", ids) == set(ids)


class CommandInboxContract:
    """Tests for an implementation: give `database` and, where it is not the framework's own, `commands`."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def commands(self) -> CommandInbox:
        return CommandInbox()

    async def test_the_first_receipt_is_found_again(self, database: Database, commands: CommandInbox) -> None:
        """Before it is recorded there is none; a second one does not replace it."""
        async with database.transaction() as connection:
            assert await commands.find(connection, "Place:1") is None
            assert await commands.record(connection, "Place:1", '{"first":1}') is None
        async with database.transaction() as connection:
            assert await commands.find(connection, "Place:1") == '{"first":1}'
            assert await commands.record(connection, "Place:1", '{"second":2}') == '{"first":1}'
            assert await commands.find(connection, "Place:2") is None

    async def test_concurrent_duplicates_end_with_the_first_receipt(
        self, database: Database, commands: CommandInbox
    ) -> None:
        """One transaction records; each of the others waits for it and is given what it recorded."""
        recorded: list[str] = []
        answered: list[str] = []

        async def handle(receipt: str) -> None:
            async with database.transaction() as connection:
                found = await commands.find(connection, "Place:1")
                await anyio.sleep(0.005)
                first = found or await commands.record(connection, "Place:1", receipt)
                if first is None:
                    recorded.append(receipt)
                answered.append(first or receipt)
                await anyio.sleep(0.005)

        async with anyio.create_task_group() as tasks:
            for number in range(6):
                tasks.start_soon(handle, f"receipt-{number}")
        assert len(recorded) == 1
        assert answered == recorded * 6
