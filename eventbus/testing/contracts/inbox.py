"""
What the inboxes promise, on any database: of messages by consumer, and of commands by the caller's id.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import anyio
import pytest

from eventbus.database import Checkpoints, CommandInbox, Database, Inbox, InboxHorizons, LogEnd, LogPartition

_ORDERS: Final = LogPartition("cluster-1", "orders", "topic-id-1", 0)
_PAYMENTS: Final = LogPartition("cluster-1", "payments", "topic-id-2", 3)
_ENDS: Final = (LogEnd("service", _ORDERS, 10), LogEnd("service", _PAYMENTS, 5))


async def _stand(database: Database, log: LogPartition, next_offset: int) -> None:
    async with database.transaction() as connection:
        checkpoint = await Checkpoints().claim(connection, "service", 0, log)
        await Checkpoints().advance(connection, checkpoint, next_offset)


def _soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=1)


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

    async def test_a_row_does_not_expire_while_its_record_could_be_delivered(
        self, database: Database, inbox: Inbox
    ) -> None:
        """Every checkpoint has to have passed the end that was noted; a missing one, or one of another log, has not."""
        horizons = InboxHorizons()

        async def expired(ends: tuple[LogEnd, ...] = _ENDS) -> int | None:
            async with database.transaction() as connection:
                return await horizons.expire(connection, "service", _soon(), ends, limit=10)

        async with database.transaction() as connection:
            await inbox.admit(connection, "service", ["a", "b"])
        assert await expired() is None
        await _stand(database, _ORDERS, 10)
        assert await expired() is None
        await _stand(database, _PAYMENTS, 4)
        assert await expired() is None
        made_anew = LogPartition("cluster-1", "orders", "topic-id-9", 0)
        assert await expired((LogEnd("service", made_anew, 1),)) is None
        async with database.transaction() as connection:
            assert await horizons.list(connection) in ({}, {"service": None})
            assert await inbox.admit(connection, "service", ["a", "b"]) == set()
        await _stand(database, _PAYMENTS, 5)
        assert await expired() == 2
        async with database.transaction() as connection:
            assert await inbox.admit(connection, "service", ["a", "b"]) == {"a", "b"}

    async def test_what_was_handled_since_does_not_expire(self, database: Database, inbox: Inbox) -> None:
        """Nor another consumer's rows; *limit* go at a time, and the horizon says up to when, and never goes back."""
        horizons = InboxHorizons()
        async with database.transaction() as connection:
            await inbox.admit(connection, "service", ["a", "b", "c"])
            await inbox.admit(connection, "other", ["a"])
        before = datetime.now(UTC)
        async with database.transaction() as connection:
            await inbox.admit(connection, "service", ["d"])
            assert await horizons.expire(connection, "service", before - timedelta(days=1), (), limit=2) == 0
            assert await horizons.hold(connection, "service") is None
        counts: list[int | None] = []
        for _ in range(3):
            async with database.transaction() as connection:
                counts.append(await horizons.expire(connection, "service", before, (), limit=2))
        assert counts == [2, 1, 0]
        async with database.transaction() as connection:
            await horizons.expire(connection, "service", before - timedelta(days=1), (), limit=2)
            assert await horizons.hold(connection, "service") == before
            assert await inbox.admit(connection, "service", ["a", "d"]) == {"a"}
            assert await inbox.admit(connection, "other", ["a"]) == set()

    async def test_nothing_expires_behind_a_seek(self, database: Database, inbox: Inbox) -> None:
        """Who seeks holds the horizon; who expires then finds the checkpoint where it was moved to."""
        horizons, tried = InboxHorizons(), anyio.Event()
        await _stand(database, _ORDERS, 10)
        counts: list[int | None] = []

        async def expire() -> None:
            tried.set()
            async with database.transaction() as connection:
                counts.append(await horizons.expire(connection, "service", _soon(), _ENDS[:1], limit=10))

        async with anyio.create_task_group() as tasks, database.transaction() as connection:
            await inbox.admit(connection, "service", ["a"])
            assert await horizons.hold(connection, "service") is None
            tasks.start_soon(expire)
            await tried.wait()
            (checkpoint,) = await Checkpoints().read(connection, "service", 0)
            await Checkpoints().seek(connection, checkpoint, 3)
        await expire()
        assert counts == [None, None]


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
